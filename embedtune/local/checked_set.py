"""Test questions that a person accepted, as an evaluation set in the BEIR layout."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from embedtune.core.artifacts import read_artifact
from embedtune.core.directories import replaced
from embedtune.core.records.reviews import Review
from embedtune.core.retrieval.beir import Qrels, Record, read_records, write_qrels, write_records
from embedtune.core.retrieval.hub_card import write_hub_card
from embedtune.local.question_table import QuestionTable, is_checked

NEEDED = 50  # the reference recipe asks for at least as many test questions
CHECKED_SET = "reviewed"  # its directory in the work directory, and its name in an evaluation
SPLIT = "test"


def checked_ids(table: QuestionTable, reviews: Mapping[str, Review]) -> list[str]:
    """Return the ids of the test questions that a person accepted, in order."""
    return [name for name in sorted(reviews) if is_checked(table.rows.get(name), reviews[name])]


def write_checked_set(work: Path, table: QuestionTable, reviews: Mapping[str, Review]) -> int:
    """Write the accepted test questions and all passages as a BEIR set, and return how many questions it has.

    Only test questions count: their documents were kept out of training, and so the set says as much about the
    tuned model as about any other. A question that was edited gets an id of its own.

    Args:
        work: The work directory; the set replaces an earlier one in `reviewed/`.
        table: Its questions.
        reviews: The decisions, by question id.

    Raises:
        ArtifactError: There is no dataset yet, or it is damaged.
    """
    corpus = read_records(read_artifact(work / "dataset", "dataset").path / "corpus.jsonl")
    passages = {record.id for record in corpus}
    queries: dict[str, Record] = {}
    qrels: Qrels = {}
    for name in checked_ids(table, reviews):
        row, review = table.rows[name], reviews[name]
        judged = {passage: 1 for passage in row["answer_ids"] if passage in passages}
        if not judged:
            continue  # written about an earlier state of the documents
        text = review.question or row["question"]
        number = hashlib.sha256(text.encode()).hexdigest()[:16]
        queries[number] = Record(
            number,
            text,
            {
                "split": SPLIT,
                "answered_in": SPLIT,
                "style": row["style"],
                "query_type": row["query_type"],
                "hops": row["hops"],
                "answer": review.answer or row["answer"],
            },
        )
        qrels.setdefault(number, {}).update(judged)
    with replaced(work / CHECKED_SET) as draft:
        write_records(draft / "corpus.jsonl", corpus)
        write_records(draft / "queries.jsonl", queries.values())
        write_qrels(draft / "qrels" / f"{SPLIT}.tsv", qrels)
        write_hub_card(draft, {SPLIT: qrels})
    return len(queries)
