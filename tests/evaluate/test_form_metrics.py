"""What each served form costs the tuned model is measured, with intervals, and shown with the size of an index."""

from embedtune.core.config.config import Config
from embedtune.core.records.evaluation import scan_figure
from embedtune.core.records.metrics import SetMetrics
from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.core.retrieval.forms import FULL, Form
from embedtune.evaluate.form_metrics import form_metrics
from embedtune.evaluate.intervals import Sampling
from embedtune.evaluate.measure import served_forms
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.scan_speed import scan_speeds
from embedtune.report.forms import form_rows
from tests.support.evaluation_records import interval

NAMES = [f"{n}" for n in range(30)]
DATA = RetrievalSet(
    [Record(f"p{n}", "x") for n in NAMES],
    [Record(f"q{n}", "x") for n in NAMES],
    {f"q{n}": {f"p{n}": 1} for n in NAMES},
)
FOUND = {f"q{n}": {f"p{n}": 1.0} for n in NAMES}
NOTHING: dict[str, dict[str, float]] = {f"q{n}": {} for n in NAMES}


def test_an_endpoint_serves_every_size_in_three_types() -> None:
    assert [(form.size, form.type) for form in served_forms((384, 128))] == [
        (None, "int8"),
        (None, "ubinary"),
        (128, "float"),
        (128, "int8"),
        (128, "ubinary"),
    ]


def test_the_cost_of_a_form_is_its_paired_difference_from_floats_of_the_full_size(config: Config) -> None:
    smaller = {128: SetResult("s", DATA, {"base": FOUND, "tuned": NOTHING}, (10,))}
    coarser = {Form(128, "int8"): NOTHING, Form(None, "ubinary"): NOTHING, Form(None, "int8"): FOUND}
    result = SetResult("s", DATA, {"base": FOUND, "tuned": FOUND}, (10,), smaller, coarser)
    forms = form_metrics(result, 384, Sampling.of(config.evaluate, config.seed))
    assert [(form.size, form.type, form.bytes, form.tuned["ndcg@10"]) for form in forms] == [
        (384, "float", 1536, 1.0),
        (384, "int8", 384, 1.0),
        (384, "ubinary", 48, 0.0),
        (128, "float", 512, 0.0),
        (128, "int8", 128, 0.0),
    ]
    changes = [form.change and (form.change.mean, form.change.low, form.change.high) for form in forms]
    assert changes == [None, (0.0, 0.0, 0.0), (-1.0, -1.0, -1.0), (-1.0, -1.0, -1.0), (-1.0, -1.0, -1.0)]

    entry = SetMetrics(queries=30, units=30, systems={}, delta={"ndcg@10": interval(0.1, 0.0, 0.2)}, forms=forms)
    rows = form_rows(entry, {scan_figure(384, "int8"): 50_000_000, scan_figure(384, "ubinary"): 0})
    assert [row.title for row in rows] == ["float32", "int8", "binary", "float32", "int8"]
    assert [row.gigabytes for row in rows] == [1.536, 0.384, 0.048, 0.512, 0.128]
    assert [row.milliseconds for row in rows] == [None, 20.0, None, None, None]


def test_the_speed_of_each_form_is_measured() -> None:
    speeds = scan_speeds(16, [Form(None, "ubinary"), Form(8, "int8")])
    assert list(speeds) == [scan_figure(16, "float"), scan_figure(16, "ubinary"), scan_figure(8, "int8")]
    assert all(speed > 0 for speed in speeds.values())


def test_without_other_forms_only_floats_are_measured(config: Config) -> None:
    result = SetResult("s", DATA, {"base": FOUND, "tuned": FOUND}, (10,))
    (form,) = form_metrics(result, 384, Sampling.of(config.evaluate, config.seed))
    assert (form.size, form.type, form.change) == (384, FULL.type, None)
