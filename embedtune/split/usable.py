"""What of a user's labelled data can be used: empty texts are left out, copied passages as queries are refused."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from embedtune.core.errors import InputError
from embedtune.core.retrieval.beir import QRELS_HEADER, SPLITS, Qrels, Record
from embedtune.core.retrieval.hub_files import files_of
from embedtune.core.retrieval.shingles import words

COPIES = 0.5  # of the train queries; with more, training would learn to find a text by itself
PASSAGE_FIELDS: Mapping[str, type] = {"doc_id": str, "path": str, "heading": str}


def unread_files(folder: Path) -> tuple[str, ...]:
    """Return a note if `qrels` has files that are no split's, such as `eval.tsv`."""
    read = {file for split in SPLITS for file in files_of(folder / "qrels" / f"{split}.tsv")}
    found = sorted(file.name for file in (folder / "qrels").glob("[!.]*.*") if file.is_file() and file not in read)
    named = ", ".join(f"{split}.tsv" for split in SPLITS)
    return (f"not read, since the splits are {named}: {', '.join(found[:5])} in qrels",) if found else ()


def unjudged(queries: Sequence[Record], given: Mapping[str, Qrels]) -> tuple[str, ...]:
    """Return a note if there are queries that no split judges; they are left out."""
    left = [record.id for record in queries if not any(record.id in qrels for qrels in given.values())]
    if not left:
        return ()
    return (f"{len(left)} queries without a judgement above 0 were left out: {', '.join(left[:3])}",)


def require_train(train: Qrels) -> None:
    """Refuse data without a train query.

    Raises:
        InputError: There is none.
    """
    if not train:
        raise InputError(
            "there is no train query",
            got="no judgement above 0 in qrels/train.tsv of a query and a passage with text",
            expected=f"at least one row: {', '.join(QRELS_HEADER)}",
        )


def without_empty(
    corpus: Sequence[Record], queries: Sequence[Record], given: Mapping[str, Qrels]
) -> tuple[list[Record], list[Record], dict[str, Qrels], tuple[str, ...]]:
    """Leave out passages and queries without text, and their judgements.

    Returns:
        Passages, queries, judgements by split, and a note for each kind of thing that was left out.
    """
    kept_passages = [record for record in corpus if words(record.text)]
    kept_queries = [record for record in queries if words(record.text)]
    passages, asked = ({record.id for record in kept} for kept in (kept_passages, kept_queries))
    kept = {split: _kept(qrels, passages, asked) for split, qrels in given.items()}
    judged = {split: sum(map(len, qrels.values())) for split, qrels in given.items()}
    lost = sum(judged.values()) - sum(len(found) for qrels in kept.values() for found in qrels.values())
    notes = []
    for name, before, known in (("passages", corpus, passages), ("queries", queries, asked)):
        if empty := [record.id for record in before if record.id not in known]:
            notes.append(f"{len(empty)} {name} without any word were left out: {', '.join(empty[:3])}")
    if lost:
        notes.append(f"{lost} judgements of texts without any word were left out")
    return kept_passages, kept_queries, kept, tuple(notes)


def _kept(qrels: Qrels, passages: set[str], queries: set[str]) -> Qrels:
    found: Qrels = {}
    for query, judged in qrels.items():
        left = {passage: score for passage, score in judged.items() if passage in passages}
        if query in queries and left:
            found[query] = left
    return found


def refuse_copies(corpus: Sequence[Record], queries: Sequence[Record], train: Qrels) -> tuple[str, ...]:
    """Refuse train queries that repeat the text of a passage that answers them, apart from case and punctuation.

    Returns:
        A note if there are a few.

    Raises:
        InputError: They are more than half of the train queries.
    """
    texts = {record.id: record.text for record in corpus}
    asked = [record for record in queries if record.id in train]
    copies = [query.id for query in asked if any(_same(query.text, texts[passage]) for passage in train[query.id])]
    if not copies:
        return ()
    listed = ", ".join(copies[:3])
    if len(copies) > COPIES * len(asked):
        raise InputError(
            "most train queries have the same text as a passage that answers them: they teach nothing",
            got=f"{len(copies)} of {len(asked)} train queries, for example {listed}",
            expected=f"at most {COPIES:.0%}",
            fix="give questions that people ask, or titles instead of whole texts, as queries",
        )
    return (f"{len(copies)} train queries have the same text as a passage that answers them: {listed}",)


def _same(query: str, passage: str) -> bool:
    # Texts of different length are told apart without comparing their words.
    return abs(len(query) - len(passage)) * 4 <= len(passage) and words(query) == words(passage)


def passage_metadata(given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a user's metadata of a passage, without values that would mean something else to the stages."""
    ours = {"n_words", "boilerplate", "group_id", "family_id", "split"}
    return {
        name: value
        for name, value in given.items()
        if name not in ours and isinstance(value, PASSAGE_FIELDS.get(name, object))
    }


def query_metadata(given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a user's metadata of a query, without values that would mean something else to the stages.

    A number of hops that is not one counts as one hop.
    """
    ours = {"unsure", "weight"}
    hops = given.get("hops", 1)
    given = {name: value for name, value in given.items() if name not in ours}
    return {**given, "hops": hops if type(hops) is int and hops >= 1 else 1}
