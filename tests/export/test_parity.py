"""The gate: which engines are refused, and what is recorded about them."""

import numpy as np
import pytest

from embedtune.core.config.export import ExportSettings
from embedtune.core.errors import GateError
from embedtune.core.records.base import parse_record, render_record
from embedtune.core.records.engine import ComparedText, Parity
from embedtune.export.parity import Measurements, Variant, require_parity
from embedtune.export.parity_texts import Sample

SAMPLES = [
    Sample("query", "short", 3, 32),
    Sample("passage", "middle " * 10, 20, 16),
    Sample("passage", "long " * 60, 64, 32),
]
EXACT = (1.0, 1.0, 1.0)


def variant(precision="fp32", cosines=EXACT, ndcg: float | None = 0.8, megabytes=10.0):
    return Variant(precision, megabytes, np.array(cosines), ndcg)


def parity(*variants, ndcg: float | None = 0.8, queries=12, **settings):
    return Measurements(ExportSettings(**settings), SAMPLES, queries, ndcg, variants or (variant(),))


def test_an_engine_with_the_same_vectors_passes():
    found = parity()
    require_parity(found)
    assert found.complaints(found.shipped) == []
    assert found.record().variants["fp32"].passed is True


@pytest.mark.parametrize(
    ("settings", "least", "passes"),
    [
        ({"precision": "fp32"}, 0.9999, True),
        ({"precision": "fp32"}, 0.99989, False),
        ({"precision": "fp16", "target": "tensorrt"}, 0.999, True),
        ({"precision": "fp16", "target": "tensorrt"}, 0.9989, False),
        ({"precision": "int8"}, 0.97, True),
        ({"precision": "int8"}, 0.9699, False),
        ({"precision": "int8", "min_cosine_int8": 0.99}, 0.98, False),
    ],
)
def test_each_text_must_reach_the_cosine_of_its_precision(settings, least, passes):
    found = parity(variant(settings["precision"], (1.0, least, 1.0)), **settings)
    if passes:
        require_parity(found)
    else:
        with pytest.raises(GateError, match=f"(?s)1 of 3 texts below.*{least:.6f} passage of 20 tokens at 16"):
            require_parity(found)


@pytest.mark.parametrize(("ndcg", "passes"), [(0.7951, True), (0.8049, True), (0.7949, False), (0.8051, False)])
def test_retrieval_may_change_by_the_limit_in_either_direction(ndcg, passes):
    found = parity(variant(ndcg=ndcg))
    if passes:
        require_parity(found)
    else:
        with pytest.raises(GateError, match=rf"ndcg@10 on dev {ndcg:.4f} instead of 0.8000"):
            require_parity(found)


def test_without_dev_questions_the_texts_alone_decide_and_a_note_says_so():
    found = parity(variant(ndcg=None), ndcg=None, queries=0)
    require_parity(found)
    assert found.record().variants["fp32"].ndcg_cost is None
    assert found.notes() == ("there are no dev questions: the engine's cost in nDCG was not measured",)
    with pytest.raises(GateError):
        require_parity(parity(variant(cosines=(1.0, 0.5, 1.0), ndcg=None), ndcg=None, queries=0))


def test_a_variant_that_is_not_shipped_may_fail_and_is_noted():
    found = parity(variant(), variant("int8", (1.0, 0.9, 0.8), ndcg=0.7))
    require_parity(found)
    assert found.notes() == (
        "int8 may not be shipped: 2 of 3 texts below cosine 0.97; ndcg@10 on dev 0.7000 instead of 0.8000",
    )
    assert found.record().variants["int8"].passed is False


def test_only_the_shipped_variant_decides():
    wrong, right = variant(cosines=(0.5, 0.5, 0.5)), variant("int8")
    require_parity(parity(wrong, right, precision="int8"))
    with pytest.raises(GateError, match=r"3 of 3 texts below cosine 0\.9999"):
        require_parity(parity(wrong, right, precision="fp32"))


def test_the_message_names_the_worst_texts_first_and_what_can_be_done():
    found = parity(variant("int8", (0.96, 0.5, 0.8)), precision="int8")
    with pytest.raises(GateError) as caught:
        require_parity(found)
    text = str(caught.value)
    places = [text.index(part) for part in ("0.500000 passage", "0.800000 passage", "0.960000 query of 3 tokens")]
    assert places == sorted(places)
    assert "export.precision=fp32" in text


@pytest.mark.parametrize("saturates", [True, False])
def test_a_cpu_without_vnni_is_named_as_the_likely_cause(monkeypatch, saturates):
    monkeypatch.setattr("embedtune.export.parity.int8_saturates", lambda: saturates)
    with pytest.raises(GateError) as caught:
        require_parity(parity(variant("int8", (0.96, 0.5, 0.8)), precision="int8"))
    assert ("this CPU has no VNNI" in str(caught.value)) is saturates


def test_parity_json_contains_every_variant_with_its_cost():
    record = parity(variant(), variant("int8", (0.99, 0.98, 1.0), ndcg=0.797, megabytes=2.5)).record()
    assert parse_record(render_record(record), Parity, "parity.json") == record
    assert record.model_dump(exclude={"variants"}) == {
        "target": "python-cpu",
        "precision": "fp32",
        "texts": 3,
        "tokens": {"least": 3, "most": 64},
        "dimensions": (32, 16),
        "dev_queries": 12,
        "max_ndcg_drift": 0.005,
        "pytorch_ndcg": 0.8,
    }
    small = record.variants["int8"]
    assert (small.megabytes, small.required_cosine, small.min_cosine) == (2.5, 0.97, 0.98)
    assert small.mean_cosine == pytest.approx(0.99)
    assert small.ndcg == 0.797
    assert small.ndcg_cost == pytest.approx(0.003)
    assert small.passed is True
    assert [entry.cosine for entry in small.worst] == [0.98, 0.99, 1.0]
    assert small.worst[0] == ComparedText(
        cosine=0.98, kind="passage", tokens=20, dimension=16, text=SAMPLES[1].text
    )


def test_the_report_gets_one_figure_per_variant():
    metrics = parity(variant(), variant("int8", (0.99, 0.98, 1.0), ndcg=0.797)).metrics()
    assert metrics == {
        "target": "python-cpu",
        "precision": "fp32",
        "megabytes": 10.0,
        "texts": 3,
        "min_cosine_fp32": 1.0,
        "ndcg@10_cost_fp32": 0.0,
        "min_cosine_int8": 0.98,
        "ndcg@10_cost_int8": 0.003,
    }
