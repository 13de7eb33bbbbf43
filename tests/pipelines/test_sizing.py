"""What a run of finetune-gpu needs: the tasks' requests cover it, and the documentation says it."""

from pathlib import Path

import pytest

from pipelines.resources import NEEDS
from pipelines.sizing import HOUR, MEMORY, RATES, Corpus, corpora, memory_gib, seconds, tables

DOCS = Path(__file__).resolve().parents[2] / "docs" / "kubeflow.md"
SLACK = 1.1  # requests are above what is expected


@pytest.fixture(scope="module", params=corpora(), ids=lambda corpus: f"{corpus.documents:,}")
def corpus(request: pytest.FixtureRequest) -> Corpus:
    found: Corpus = request.param
    return found


def test_requests_cover_the_memory_and_the_time_of_every_task(corpus: Corpus) -> None:
    needs = NEEDS["gpu"]
    for name, expected in memory_gib(corpus).items():
        assert needs[name].memory_gib >= SLACK * expected, name
    for name, expected in seconds(corpus).items():
        assert needs[name].hours * HOUR >= SLACK * expected, name


def test_every_stage_before_the_deployment_and_encode_are_estimated(corpus: Corpus) -> None:
    frame = {"prepare", "deploy", "report", "outcome"}
    assert set(MEMORY) == set(seconds(corpus)) == set(NEEDS["gpu"]) - frame


def test_the_numbers_of_a_small_corpus_are_those_worked_out_by_hand() -> None:
    small = corpora()[0]
    assert (small.chunks, small.asked) == (10_000, 10_000)
    assert small.questions == 34_000  # 3 per chunk, and one per bundle, of which there are 0.4 per chunk
    assert small.calls == 28_000  # one per chunk and bundle, and one to judge each reply
    # 2 · 0.97e9 · 400 operations per passage, at 11.7e12 per second, and again at 125e12.
    assert seconds(small)["encode"] == pytest.approx(10_000 * (0.776 / 11.7 + 0.776 / 125))
    assert seconds(small)["split"] == pytest.approx(1.33)
    assert memory_gib(small)["ingest"] == pytest.approx(1 + 10_000 * 0.4 / 1024**2)


def test_questions_are_written_about_no_more_chunks_than_max_chunks() -> None:
    _, middle, large = corpora()
    assert (large.chunks, large.asked) == (1_000_000, 100_000)
    assert (large.calls, large.questions) == (middle.calls, middle.questions)


def test_the_documentation_has_these_tables() -> None:
    assert tables() in DOCS.read_text(), (
        "run `python -m pipelines.sizing` and put its output into docs/kubeflow.md"
    )


def test_each_rate_says_whether_it_was_measured() -> None:
    assert {rate.measured for rate in RATES.values()} == {True, False}
    assert not any(rate.measured for name, rate in RATES.items() if name.startswith("GPU"))
