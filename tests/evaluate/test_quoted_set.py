"""Quotes become judgements: each must occur in exactly one passage, or an error says which does not and why."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.artifacts import write_artifact
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import InputError
from embedtune.core.retrieval.beir import read_records, read_retrieval_set
from embedtune.core.retrieval.passage_groups import mean_ndcg
from embedtune.core.retrieval.quoted_answers import normal, read_questions
from embedtune.evaluate.quoted_set import build_quoted_set
from tests.support.context import provenance as _provenance

CONTRACT = EncoderContract(base_model="m", dimensions=(4,), passage_template="[{heading}] {text}")
PUMP = "Bleed the casing at the top cock\nuntil brine runs without bubbles. Then start."
SEAL = "Wet the carbon with soap solution. Then wait."
NOTICE = "Hang the quiet tag first."
DOCUMENTS = {"pump.md": [PUMP, SEAL, NOTICE], "kiln/start.md": ["Purge for 90 seconds. Then light.", NOTICE]}


def write_chunks(path: Path) -> Path:
    """Write a chunks artifact of DOCUMENTS; equal texts have equal ids, as ingest makes them."""
    ids = {text: f"c{i}" for i, text in enumerate(dict.fromkeys(t for texts in DOCUMENTS.values() for t in texts))}
    documents = [{"doc_id": f"doc-{name}", "path": name, "metadata": [("Kind", "handbook")]} for name in DOCUMENTS]
    chunks = [
        {
            "chunk_id": ids[text],
            "doc_id": f"doc-{name}",
            "text": text,
            "heading_path": ["Manual", "Start"],
            "group_id": ids[text],
            "family": "f",
            "split": "train",
            "boilerplate": False,
            "n_words": len(text.split()),
        }
        for name, texts in DOCUMENTS.items()
        for text in texts
    ]
    provenance = _provenance(contract=CONTRACT)
    with write_artifact(path, "chunks", provenance) as draft:
        pq.write_table(pa.Table.from_pylist(documents), draft.path / "documents.parquet")
        pq.write_table(pa.Table.from_pylist(chunks), draft.path / "chunks.parquet")
        pq.write_table(pa.table({"path": pa.array([], pa.string())}), draft.path / "skipped.parquet")
    return path


@pytest.fixture
def build(tmp_path):
    """Build a set from (question, [(path, quote), …]) pairs; return the counts and the directory of the set."""
    chunks = write_chunks(tmp_path / "chunks")

    def _build(*asked):
        lines = [
            json.dumps(
                {"question": q, "answers": [{"path": p, "quote": t} if t else {"path": p} for p, t in answers]}
            )
            for q, answers in asked
        ]
        (tmp_path / "questions.jsonl").write_text("\n".join(lines) + "\n")
        return build_quoted_set(tmp_path / "questions.jsonl", chunks, tmp_path / "set"), tmp_path / "set"

    return _build


def test_a_quote_becomes_a_judgement_of_its_passage(build):
    counts, path = build(("air in the pump?", [("pump.md", "brine runs without bubbles")]))
    data = read_retrieval_set(path, "test")
    assert [query.text for query in data.queries] == ["air in the pump?"]
    assert data.qrels == {data.queries[0].id: {"c0": 1}}
    assert counts == {"questions": 1, "quotes": 1, "judgements": 1, "passages": 4}


def test_the_corpus_holds_every_passage_once_as_it_is_embedded(build):
    _, path = build(("q", [("pump.md", "soap solution")]))
    corpus = read_records(path / "corpus.jsonl")
    assert [record.id for record in corpus] == ["c0", "c1", "c2", "c3"]
    assert corpus[1].text == f"[Manual > Start] {SEAL}"
    assert corpus[3].metadata["path"] == "kiln/start.md"


def test_case_and_whitespace_do_not_matter(build):
    _, path = build(("q", [("pump.md", "  AT the top   cock until\tbrine ")]))
    assert list(read_retrieval_set(path, "test").qrels.values()) == [{"c0": 1}]


def test_a_passage_that_two_documents_share_is_one_judgement(build):
    counts, path = build(("q", [("pump.md", "hang the quiet tag"), ("kiln/start.md", "quiet tag first")]))
    assert list(read_retrieval_set(path, "test").qrels.values()) == [{"c2": 1}]
    assert (counts["quotes"], counts["judgements"]) == (2, 1)


def test_several_passages_may_answer(build):
    _, path = build(("q", [("pump.md", "top cock"), ("kiln/start.md", "purge for 90 seconds")]))
    assert list(read_retrieval_set(path, "test").qrels.values()) == [{"c0": 1, "c3": 1}]


def test_a_query_keeps_its_id_when_its_neighbours_change(build):
    _, path = build(("q", [("pump.md", "top cock")]))
    alone = read_records(path / "queries.jsonl")[0].id
    build(("p", [("pump.md", "top cock")]), ("q", [("pump.md", "soap solution")]))
    assert read_records(path / "queries.jsonl")[1].id == alone
    assert len(alone) == 16


def test_every_quote_that_cannot_be_placed_is_listed_with_its_line_and_the_nearest_text(build):
    with pytest.raises(InputError) as error:
        build(
            ("fine", [("pump.md", "top cock")]),
            ("typing error", [("pump.md", "wet the carbon with soap water")]),
            ("no such document", [("klin/start.md", "purge for 90 seconds")]),
            ("two passages", [("pump.md", "then")]),
            ("across passages", [("pump.md", "then start. wet the carbon")]),
        )
    message = str(error.value)
    assert "4 quotes cannot be placed" in message
    assert "line 1" not in message
    assert (
        "line 2: pump.md: no passage contains 'wet the carbon with soap water'; nearest: 'wet the carbon with soap"
        in message
    )
    assert "line 3: klin/start.md: no such document; nearest: kiln/start.md" in message
    assert "line 4: pump.md: 2 passages contain 'then'" in message
    assert "line 5: pump.md: 'then start. wet the carbon' runs on from one passage into the next" in message


def test_nothing_is_written_if_a_quote_cannot_be_placed(build, tmp_path):
    with pytest.raises(InputError):
        build(("q", [("pump.md", "no such words")]))
    assert not (tmp_path / "set").exists()


def test_a_document_without_a_quote_is_found_by_its_first_passage_in_a_ranking(build):
    counts, path = build(("q", [("pump.md", None)]))
    data = read_retrieval_set(path, "test")
    (query,) = data.queries
    assert data.qrels == {query.id: {"c0": 1, "c1": 1, "c2": 1}}
    assert counts == {"questions": 1, "documents": 1, "judgements": 3, "passages": 4}
    # The kiln's passage is first; the pump's two are one document, on rank 2: nDCG is 1 / log2(3).
    ranking = {query.id: {"c3": 0.9, "c1": 0.8, "c0": 0.7}}
    assert mean_ndcg(ranking, data) == pytest.approx(1 / math.log2(3))


def test_a_passage_of_two_documents_counts_as_the_first(build):
    _, path = build(("q", [("kiln/start.md", None)]))
    assert list(read_retrieval_set(path, "test").qrels.values()) == [{"c3": 1}]


def test_answers_with_and_without_quotes_do_not_mix(build):
    with pytest.raises(InputError, match=r"(?s)only some answers have a quote.*line 1.*line 2") as error:
        build(("p", [("pump.md", "top cock")]), ("q", [("pump.md", None)]))
    assert "two files" in str(error.value)


def test_a_document_that_is_not_there_is_named(build):
    with pytest.raises(InputError, match="1 documents are not in the chunks") as error:
        build(("q", [("pumps.md", None)]))
    assert "line 1: pumps.md: no such document; nearest: pump.md" in str(error.value)


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '{"question": "q"}',
        '{"question": "q", "answers": []}',
        '{"question": " ", "answers": [{"path": "pump.md", "quote": "top cock"}]}',
        '{"question": "q", "answers": [{"path": "pump.md", "quote": ""}]}',
        '{"question": "q", "answers": [{"path": "pump.md", "qoute": "top cock"}]}',
    ],
)
def test_a_line_that_is_not_a_question_is_named(tmp_path, line):
    file = tmp_path / "questions.jsonl"
    file.write_text("\n" + line + "\n")
    with pytest.raises(InputError, match=r"questions\.jsonl:2 is not a quoted question"):
        build_quoted_set(file, tmp_path / "chunks", tmp_path / "set")


def test_the_field_that_is_wrong_is_named(tmp_path):
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "q", "expected_ids": ["d1"]}\n')
    with pytest.raises(InputError) as refusal:
        build_quoted_set(file, tmp_path / "chunks", tmp_path / "set")
    assert str(refusal.value.got).startswith("answers: Field required")


def test_another_encoding_is_refused_with_its_line(tmp_path):
    file = tmp_path / "questions.jsonl"
    file.write_bytes('{"question": "größe?", "answers": [{"path": "pump.md"}]}\n'.encode("cp1252"))
    with pytest.raises(InputError, match=r"questions\.jsonl:1 is not a quoted question") as refusal:
        build_quoted_set(file, tmp_path / "chunks", tmp_path / "set")
    assert "UTF-8" in str(refusal.value.expected)


def test_a_byte_order_mark_is_no_part_of_the_first_question(tmp_path):
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "q", "answers": [{"path": "pump.md"}]}\n', encoding="utf-8-sig")
    assert [question.question for _, question in read_questions(file)] == ["q"]


def test_a_repeated_question_is_refused(build):
    asked = ("q", [("pump.md", "top cock")])
    with pytest.raises(InputError, match=r":2 repeats the question of line 1"):
        build(asked, asked)


@pytest.mark.parametrize("text", [None, "", "\n \n"])
def test_a_missing_or_empty_file_is_an_error(tmp_path, text):
    file = tmp_path / "questions.jsonl"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match="questions file"):
        build_quoted_set(file, tmp_path / "chunks", tmp_path / "set")


@given(st.text(), st.text(alphabet=" \t\n\u00a0", min_size=1))
def test_comparing_ignores_case_and_the_kind_of_whitespace(text, space):
    assert normal(normal(text)) == normal(text)
    assert normal(space.join(text.split())) == normal(text)
