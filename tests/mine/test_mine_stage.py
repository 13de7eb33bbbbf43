"""The stage on a dataset that is small enough to read, with an encoder that counts words."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from embedtune.core.artifacts import read_artifact, write_artifact
from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.errors import GateError
from embedtune.core.records.audit import AUDIT_FILE, Audit, Distribution, DroppedQuery, Rejected
from embedtune.core.records.base import parse_record, read_record, render_record
from embedtune.core.retrieval.beir import Record, write_qrels, write_records
from embedtune.mine import stage
from embedtune.mine.audit import check, check_short, describe, distribution
from embedtune.mine.mining_set import MiningSet, read_mining_set
from embedtune.mine.negatives import Mined
from embedtune.mine.triplets import PASSAGE_SCHEMA, SCHEMA, triplet_rows, write_triplets
from tests.support.context import context, provenance
from tests.support.tiny_model import TINY_DIMENSION, make_tiny_model
from tests.support.word_encoder import WordEncoder

VOCABULARY = "pump valve hoist kiln drum chain"
PASSAGES = {  # id: (text, group, split)
    "p1": ("pump valve", "p1", "train"),
    "p2": ("pump hoist", "p2", "train"),
    "p3": ("pump hoist kiln", "p3", "train"),
    "p4": ("pump kiln drum chain", "p4", "train"),
    "p5": ("drum chain", "p5", "train"),
    "p1b": ("valve pump", "p1", "train"),
    "t1": ("pump", "t1", "test"),
    "d1": ("drum kiln", "d1", "dev"),
}
QUERIES = {
    "q1": ("pump valve", "train", {"p1": 1}),
    "q2": ("drum", "train", {"p5": 1}),
    "qt": ("pump", "test", {"t1": 1}),
}


NOTHING: dict[str, dict] = {}


def settings(**mine: object) -> Config:
    mine = {"negatives": 2, "min_negatives": 2, **mine}
    data = {"contract": {"base_model": "unused", "dimensions": [6]}, "mine": mine, "train": {"negatives": 1}}
    return parse_config(data)


def write_dataset(
    path: Path, queries: dict = QUERIES, passages: dict = PASSAGES, metadata: dict[str, dict] = NOTHING
) -> Path:
    with write_artifact(path, "dataset", provenance()) as draft:
        corpus = [Record(i, text, {"group_id": g, "split": s}) for i, (text, g, s) in passages.items()]
        write_records(draft.path / "corpus.jsonl", corpus)
        asked = [Record(i, text, {"split": s, **metadata.get(i, {})}) for i, (text, s, _) in queries.items()]
        write_records(draft.path / "queries.jsonl", asked)
        for split in ("train", "dev", "test"):
            qrels = {i: judged for i, (_, s, judged) in queries.items() if s == split}
            write_qrels(draft.path / "qrels" / f"{split}.tsv", qrels)
        (draft.path / "split.json").write_text("{}")
    return path


@pytest.fixture
def data(tmp_path: Path) -> MiningSet:
    return read_mining_set(write_dataset(tmp_path / "dataset"))


def mined_rows(data: MiningSet, config: Config, progress: object) -> tuple:
    mined = stage.mine(data, WordEncoder(VOCABULARY), config.mine, "cpu", progress)
    return mined, triplet_rows(data, mined, config.mine.min_negatives)


def audit_of(data: MiningSet, config: Config, mined: Mined, rows: list) -> Audit:
    audit = describe(data, mined, rows, config.mine, config.ingest)
    assert parse_record(render_record(audit), Audit, "the audit") == audit
    return audit


def test_only_train_queries_and_passages_are_read(data):
    assert [query.id for query in data.queries] == ["q1", "q2"]
    assert [passage.id for passage in data.passages] == ["p1", "p2", "p3", "p4", "p5", "p1b"]


def test_a_train_query_answered_by_a_test_passage_is_refused(tmp_path):
    queries = {"q1": ("pump", "train", {"t1": 1})}
    with pytest.raises(GateError, match=r"passages of dev or test\n.*t1"):
        read_mining_set(write_dataset(tmp_path / "dataset", queries))


def test_a_dataset_without_train_queries_is_refused(tmp_path):
    with pytest.raises(GateError, match="no train queries"):
        read_mining_set(write_dataset(tmp_path / "dataset", {"qt": QUERIES["qt"]}))


def test_rows_hold_texts_ids_groups_and_scores(data, progress):
    _, rows = mined_rows(data, settings(), progress)
    first = rows[0]
    # q1 "pump valve": p2 scores 1/2, p3 1/√6, p4 1/√8; p1 is the positive, p1b its near-duplicate.
    assert first["query_id"] == "q1"
    assert first["positive_id"] == "p1"
    assert first["positive_ids"] == ["p1"]
    assert first["negative_ids"] == ["p2", "p3"]
    assert first["negatives"] == ["pump hoist", "pump hoist kiln"]
    assert first["negative_groups"] == ["p2", "p3"]
    assert first["negative_scores"] == pytest.approx([0.5, 6**-0.5])
    assert first["positive_score"] == pytest.approx(1.0)
    assert set(first) > set(SCHEMA.names)


def test_a_passage_with_a_similar_question_is_no_negative_and_is_masked(tmp_path, progress):
    data = read_mining_set(write_dataset(tmp_path / "dataset", metadata={"q1": {"unsure": ["p2", "gone"]}}))
    _, rows = mined_rows(data, settings(), progress)
    first = rows[0]
    assert first["query_id"] == "q1"
    assert first["negative_ids"] == ["p3", "p4"]  # p2 would be the hardest
    assert (first["positive_ids"], first["positive_groups"]) == (["p1", "p2"], ["p1", "p2"])
    assert first["positive_id"] == "p1" and [row["query_id"] for row in rows].count("q1") == 1
    check(rows, settings().mine.margin)


def test_a_query_with_two_positives_has_two_rows_with_the_same_negatives(tmp_path, progress):
    queries = {"q1": ("pump valve", "train", {"p1": 1, "p3": 1})}
    data = read_mining_set(write_dataset(tmp_path / "dataset", queries))
    _, rows = mined_rows(data, settings(negatives=1, min_negatives=1), progress)
    assert [row["positive_id"] for row in rows] == ["p1", "p3"]
    assert rows[0]["positive_ids"] == rows[1]["positive_ids"] == ["p1", "p3"]
    assert rows[0]["negative_ids"] == rows[1]["negative_ids"] == ["p4"]  # p2 scores above 0.95/√6


def test_questions_of_one_text_share_their_positives(tmp_path, progress):
    queries = {"q1": ("Pump  valve", "train", {"p1": 1}), "q2": ("pump valve", "train", {"p2": 1})}
    data = read_mining_set(write_dataset(tmp_path / "dataset", queries))
    _, rows = mined_rows(data, settings(negatives=1, min_negatives=1), progress)
    assert [row["positive_ids"] for row in rows] == [["p1", "p2"]] * 2
    assert [row["positive_groups"] for row in rows] == [["p1", "p2"]] * 2
    assert all(set(row["negative_ids"]).isdisjoint({"p1", "p2", "p1b"}) for row in rows)


def test_a_question_of_people_keeps_its_weight_next_to_a_generated_one_of_the_same_text(tmp_path, progress):
    queries = {"human": ("Pump  valve", "train", {"p1": 1, "p2": 1}), "q2": ("pump valve", "train", {"p1": 1})}
    data = read_mining_set(write_dataset(tmp_path / "dataset", queries, metadata={"human": {"weight": 2.5}}))
    _, rows = mined_rows(data, settings(negatives=1, min_negatives=1), progress)
    write_triplets(tmp_path, rows, data)
    written = pq.read_table(tmp_path / "triplets.parquet", columns=["query_id", "positive_id", "weight"])
    assert [tuple(row.values()) for row in written.to_pylist()] == [
        ("human", "p1", 2.5),
        ("human", "p2", 2.5),
        ("q2", "p1", 1.0),
    ]


def test_the_audit_counts_and_shows(data, progress):
    audit = audit_of(data, settings(), *mined_rows(data, settings(), progress))
    assert audit.queries == 2
    assert audit.complete == 2
    assert audit.dropped == 0
    assert audit.mining_corpus == 6
    # q1 passes p1 and p1b before p3; q2 passes p5 before p4 (1/2), then p1 (0).
    assert audit.rejected == Rejected(positive=2, group=1, sibling=0, margin=0)
    assert audit.positive_ranks.quantiles.maximum == 1
    assert audit.negative_ranks.count == 4
    hardest = audit.examples[0].negatives[0]
    assert (hardest.id, hardest.text, hardest.score) == ("p2", "pump hoist", pytest.approx(0.5))


def test_the_audit_sees_negatives_that_repeat_a_positive_word_for_word(tmp_path, progress):
    passages = {**PASSAGES, "p2": ("pump valve", "p2", "train")}  # a group that ingest missed
    queries = {"q1": ("pump valve chain", "train", {"p1": 1})}
    data = read_mining_set(write_dataset(tmp_path / "dataset", queries, passages))
    mined, rows = mined_rows(data, settings(), progress)
    rows[0]["negatives"][0] = "pump valve"
    assert audit_of(data, settings(), mined, rows).lexical_duplicates.found == 1


def test_queries_with_too_few_negatives_are_dropped_and_listed(tmp_path, progress):
    passages = {name: PASSAGES[name] for name in ("p1", "p1b", "p4", "p5")}
    queries = {"q1": QUERIES["q1"], "q2": QUERIES["q2"]}
    data = read_mining_set(write_dataset(tmp_path / "dataset", queries, passages))
    config = settings(negatives=3, min_negatives=3, max_short_share=0.5)
    mined, rows = mined_rows(data, config, progress)
    assert [row["query_id"] for row in rows] == ["q2"]  # q1 has only p4 and p5
    check_short(data, mined, config.mine)
    audit = audit_of(data, config, mined, rows)
    assert audit.dropped_queries == (DroppedQuery(query_id="q1", query="pump valve", found=2),)
    with pytest.raises(GateError, match="1 of 2 train queries have fewer negatives than 3"):
        check_short(data, mined, settings(negatives=3, min_negatives=3, max_short_share=0.4).mine)


def test_without_a_minimum_every_query_is_kept(tmp_path, progress):
    """Neither finds a negative: all that train may see answers them."""
    passages = {name: PASSAGES[name] for name in ("p1", "p1b")}
    data = read_mining_set(write_dataset(tmp_path / "dataset", {"q1": QUERIES["q1"]}, passages))
    config = settings()
    config = config.model_copy(update={"mine": config.mine.model_copy(update={"min_negatives": 0})})
    mined, rows = mined_rows(data, config, progress)
    check_short(data, mined, config.mine)
    assert [(row["query_id"], row["negative_ids"]) for row in rows] == [("q1", [])]
    audit = audit_of(data, config, mined, rows)
    assert (audit.rows, audit.dropped, audit.negative_scores.count) == (1, 0, 0)


def test_a_run_that_would_leave_no_query_is_refused_whatever_the_share(tmp_path, progress):
    data = read_mining_set(write_dataset(tmp_path / "dataset"))
    config = settings(negatives=9, min_negatives=9, max_short_share=1.0)
    mined, _ = mined_rows(data, config, progress)
    with pytest.raises(GateError, match="2 of 2"):
        check_short(data, mined, config.mine)


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("negative_scores", [0.5, float("-inf")], "not finite"),
        ("negative_scores", [0.5, float("nan")], "not finite"),
        ("positive_score", float("nan"), "not finite"),
        ("negative_ids", ["p1", "p3"], "a positive is among"),
        ("negative_groups", ["p2", "p1"], "near-duplicate of a positive"),
        ("negatives", ["pump valve", "x"], "both positive and negative"),
        ("negative_ids", ["p2", "p2"], "occurs twice"),
        ("negative_scores", [0.96, 0.5], "above the threshold"),
    ],
)
def test_the_check_finds_what_mining_should_never_do(data, progress, field, value, fault):
    _, rows = mined_rows(data, settings(), progress)
    check(rows, 0.05)
    rows[0][field] = value
    with pytest.raises(GateError, match=fault):
        check(rows, 0.05)


def test_vectors_that_are_not_finite_stop_the_stage(data, progress):
    with pytest.raises(GateError, match="1 of 6 vectors of passages are not finite"):
        stage.mine(data, WordEncoder(VOCABULARY, broken="pump hoist kiln"), settings().mine, "cpu", progress)


def test_scores_that_differ_by_float_steps_have_a_distribution():
    found = distribution(np.array([0.9999999, 1.0, 1.0000001], dtype=np.float32))
    assert found.count == 3 and sum(found.histogram.counts) == 3


def test_a_distribution_by_hand():
    found = distribution(np.array([0.0, 1.0, 2.0, 3.0]))
    assert found.count == 4
    assert found.mean == 1.5
    assert (found.quantiles.minimum, found.quantiles.p25, found.quantiles.median) == (0.0, 0.75, 1.5)
    assert sum(found.histogram.counts) == 4
    assert distribution(np.array([])) == Distribution(count=0)


def test_the_whole_stage_writes_its_artifact_and_skips_when_nothing_changed(tmp_path, progress):
    model = make_tiny_model(tmp_path / "base")
    config = parse_config(
        {
            "contract": {"base_model": str(model), "dimensions": [TINY_DIMENSION], "max_length": 32},
            "mine": {"negatives": 2, "min_negatives": 1, "max_short_share": 0.9},
            "train": {"negatives": 1},
        }
    )
    dataset = write_dataset(tmp_path / "dataset")
    paths = dataset, tmp_path / "triplets", context(config, tmp_path / "cache", progress)
    report = stage.run(*paths)
    artifact = read_artifact(tmp_path / "triplets", "triplets")
    table = pq.read_table(tmp_path / "triplets" / "triplets.parquet")
    assert table.schema == SCHEMA
    named = {passage for ids in (*table["positive_ids"], *table["negative_ids"]) for passage in ids.as_py()}
    passages = pq.read_table(tmp_path / "triplets" / "passages.parquet")
    assert passages.schema == PASSAGE_SCHEMA
    assert set(passages["passage_id"].to_pylist()) == named
    texts = dict(zip(passages["passage_id"].to_pylist(), passages["text"].to_pylist(), strict=True))
    assert texts == {name: PASSAGES[name][0] for name in named}
    assert report.metrics["rows"] == table.num_rows == artifact.manifest.counts["rows"]
    assert read_record(tmp_path / "triplets" / AUDIT_FILE, Audit).queries == 2
    written = (tmp_path / "triplets" / "manifest.json").stat().st_mtime_ns
    assert stage.run(*paths).metrics == report.metrics
    assert (tmp_path / "triplets" / "manifest.json").stat().st_mtime_ns == written


def test_a_stage_that_finds_no_negative_at_all_says_so_and_ends_well(tmp_path, progress):
    model = make_tiny_model(tmp_path / "base")
    config = parse_config(
        {
            "contract": {"base_model": str(model), "dimensions": [TINY_DIMENSION], "max_length": 32},
            "mine": {"min_negatives": 0},
            "train": {"negatives": 0, "loss": "in_batch"},
        }
    )
    passages = {name: PASSAGES[name] for name in ("p1", "p1b")}
    dataset = write_dataset(tmp_path / "dataset", {"q1": QUERIES["q1"]}, passages)
    report = stage.run(dataset, tmp_path / "triplets", context(config, tmp_path / "cache", progress))
    assert "positive_score_median" in report.metrics
    assert "negative_score_median" not in report.metrics
    assert any("no query has a negative" in note for note in report.notes)
