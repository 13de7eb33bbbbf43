"""What a run and its model cost, in sentences."""

from dataclasses import replace

import pytest

from embedtune.report.costs import cost_sentences, llm_cost
from embedtune.report.work import Work, open_work
from tests.support.report_work import make_work


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    from embedtune.core.config.load import parse_config

    contract = {"base_model": "tiny", "dimensions": [384]}
    config = parse_config({"contract": contract, "evaluate": {"interval_samples": 200}})
    return open_work(make_work(tmp_path_factory.mktemp("work"), config))


def _with(work, artifact, *, cost=None, **metrics):
    manifest = work.manifests[artifact]
    report = replace(manifest.report, metrics=manifest.report.metrics | metrics)
    if cost is not None:
        report = replace(report, cost_usd=cost)
    return Work(work.path, work.manifests | {artifact: manifest.model_copy(update={"report": report})})


def test_time_money_and_what_re_indexing_takes(work):
    run, running, switching = cost_sentences(_with(work, "evaluation", **{"tuned.passages_per_second": 22.0}))
    assert run == "This run took 39 min 26 s (training on cpu) and $1.37 for 402 calls of a language model."
    assert "costs what the model before tuning costs" in running and "384 numbers per vector" in running
    # 264 passages / 22 per second; 264 · 384 · 4 bytes
    assert (
        "all 264 passages are embedded again (about 12 s at the speed of this machine; 0.4 MB of vectors)"
        in switching
    )


def test_a_time_that_nobody_measured_is_not_made_up(work):
    assert "(time not measured; 0.4 MB of vectors)" in cost_sentences(work)[-1]


def test_an_unknown_price_is_not_zero(work):
    unknown = _with(work, "questions", cost=0.0)
    assert llm_cost(unknown) == "unknown"
    assert "402 calls of a language model, at a price that this run was not told" in cost_sentences(unknown)[0]
    replayed = _with(work, "questions", cost=0.0, calls=0)
    assert llm_cost(replayed) == "nothing"
    assert "paid for no call of a language model" in cost_sentences(replayed)[0]


def test_a_run_without_generated_questions_used_no_language_model(work):
    labelled = Work(work.path, {name: one for name, one in work.manifests.items() if name != "questions"})
    assert cost_sentences(labelled)[0].endswith("used no language model.")
