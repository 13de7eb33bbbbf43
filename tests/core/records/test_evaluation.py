"""The evaluation's records: what is written is read back, and nothing else is accepted."""

from pathlib import Path

import pytest

from embedtune.core.errors import ArtifactError
from embedtune.core.records.base import JsonRecord, read_record, write_record
from embedtune.core.records.evaluation import (
    Example,
    Examples,
    RankedPassage,
    Ranking,
    RelevantPassage,
    SetExamples,
    SetSlices,
    Slice,
    Slices,
)
from embedtune.core.records.metrics import Metrics, SetMetrics
from tests.support.evaluation_records import DELTA, interval, make_verdict

MEANS = {"base": {"ndcg@10": 0.5}, "tuned": {"ndcg@10": 0.5312}}
RANKING = Ranking(
    ndcg_at_10=0.63093,
    first_relevant_rank=None,
    top=(RankedPassage(id="a", score=0.9, relevant=False, text="kiln", source="kilns.md"),),
)
EXAMPLE = Example(
    query_id="q",
    query="how hot?",
    relevant=(RelevantPassage(id="b", text="90 °C", source=""),),
    systems={"base": RANKING, "tuned": RANKING},
)
ONE_SLICE = Slice(
    dimension="hops", value="2", queries=3, units=2, small=True, systems={"base": DELTA}, delta=DELTA
)
RECORDS = [
    Metrics(sets={"hand": SetMetrics(queries=6, units=3, systems=MEANS, delta={"ndcg@10": DELTA})}),
    make_verdict("MARGINAL", "champion"),
    Slices(
        metric="ndcg@10",
        small_below=10,
        sets={"hand": SetSlices(bm25_rank1_share=0.5, word_overlap=0.3, slices=(ONE_SLICE,))},
    ),
    Examples(seed=42, sets={"hand": SetExamples(gained=1, lost=0, wins=(EXAMPLE,), losses=())}),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.NAME)
def test_a_record_is_read_back_as_it_was_written(record: JsonRecord, tmp_path: Path) -> None:
    write_record(tmp_path / "record.json", record)
    assert read_record(tmp_path / "record.json", type(record)) == record


def test_one_record_is_not_taken_for_another(tmp_path: Path) -> None:
    write_record(tmp_path / "verdict.json", make_verdict())
    with pytest.raises(ArtifactError, match=r"(?s)another kind.*'verdict'.*metrics.*`embedtune evaluate`"):
        read_record(tmp_path / "verdict.json", Metrics)


def test_a_verdict_is_one_of_three(tmp_path: Path) -> None:
    file = tmp_path / "verdict.json"
    write_record(file, make_verdict("WIN"))
    file.write_text(file.read_text().replace('"WIN"', '"DRAW"', 1))
    with pytest.raises(ArtifactError, match="verdict: Input should be 'WIN', 'MARGINAL' or 'REGRESSION'"):
        read_record(file, type(make_verdict()))


@pytest.mark.parametrize(
    ("low", "high", "direction"),
    [(0.01, 0.1, "up"), (-0.1, -0.01, "down"), (-0.1, 0.1, "unsure"), (0.0, 0.1, "unsure"), (-0.1, 0.0, "unsure")],
)
def test_an_interval_that_touches_0_is_unsure(low: float, high: float, direction: str) -> None:
    assert interval((low + high) / 2, low, high).direction == direction
