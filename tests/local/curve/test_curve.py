"""A learning curve of a tiny model: nested trainings, kept one by one, compared on the same questions."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from embedtune.cli import cli
from embedtune.core.artifacts import read_manifest
from embedtune.core.errors import ConfigError, GateError, InputError
from embedtune.core.records.base import read_record
from embedtune.core.records.curve import CURVE_FILE, LearningCurve
from embedtune.evaluate.intervals import Sampling, Units, paired_intervals
from embedtune.local.curve.curve import Curve, difference
from embedtune.mine import stage as mine
from embedtune.train import stage as train
from tests.support.context import context
from tests.support.curve_work import curve_config, make_curve_work


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A work directory, its configuration, and its curve with a share of 50 %."""
    work, base = make_curve_work(tmp_path_factory.mktemp("curve"))
    config = curve_config(base)
    found = Curve(work, [50], ["questions", "documents"], {}, context(config, work / "cache")).measure()
    return work, config, found


def folders(work: Path, name: str) -> list[Path]:
    return sorted((work / "curve").glob(f"{name}-*"))


def trained_on(folder: Path) -> set[str]:
    return set(pq.read_table(folder / "triplets" / "triplets.parquet")["query_id"].to_pylist())


def test_every_share_trains_on_its_own_questions_and_documents(made):
    work, _, _ = made
    everything, half, documents = (
        folders(work, name)[0] for name in ("questions-100-0", "questions-050-0", "documents-050-0")
    )
    mined = [read_manifest(folder / "triplets", "triplets").counts["queries"] for folder in (everything, half)]
    assert mined == [24, 12] and trained_on(half) <= trained_on(everything)
    assert read_manifest(documents / "triplets", "triplets").counts["queries"] == 12  # 4 documents of 3 questions
    seen = pq.read_table(documents / "triplets" / "passages.parquet")["passage_id"].to_pylist()
    assert len({name.split("-")[0] for name in seen}) == 4  # negatives come from these documents only
    prints = {read_manifest(folder / "model", "model").fingerprint for folder in (everything, half, documents)}
    assert len(prints) == 3


def test_the_curve_has_the_sizes_and_the_paired_differences(made):
    _, _, found = made
    (one,) = found.sets
    assert (one.name, one.questions, found.decided_on, found.trainings) == ("synthetic", 24, "synthetic", 1)
    questions, documents = one.curves["questions"], one.curves["documents"]
    assert [(point.share, point.questions, point.families) for point in questions] == [(50, 12, 8), (100, 24, 8)]
    assert [(point.share, point.questions, point.families) for point in documents] == [(50, 12, 4), (100, 24, 8)]
    assert questions[-1].gain == documents[-1].gain and questions[0].step is None
    assert questions[-1].gain.units == 8 and questions[-1].gain.mean != questions[0].gain.mean
    for points in (questions, documents):
        change = points[1].gain.mean - points[0].gain.mean
        assert points[1].step is not None and points[1].step.mean == pytest.approx(change, abs=2e-6)


def test_what_is_finished_is_not_done_again_and_what_is_missing_is(made, monkeypatch):
    work, config, found = made
    (half,) = folders(work, "questions-050-0")
    shutil.rmtree(half)
    trained = []
    run = train.run
    monkeypatch.setattr(train, "run", lambda *paths: trained.append(paths[2]) or run(*paths))
    curve = Curve(work, [50], ["questions", "documents"], {}, context(config, work / "cache"))
    assert (curve.cost().trainings, curve.cost().models) == (1, 1)
    assert curve.measure() == found
    assert trained == [half / "model"]
    assert (curve.cost().trainings, curve.cost().train_seconds) == (0, 0.0)


def test_a_model_that_is_gone_is_not_needed_for_figures_that_are_known(made):
    work, config, found = made
    (whole,) = folders(work, "questions-100-0")
    (whole / "model").rename(whole / "aside")
    try:
        assert (
            Curve(work, [50], ["questions", "documents"], {}, context(config, work / "cache")).measure() == found
        )
    finally:
        (whole / "aside").rename(whole / "model")


def test_another_setting_of_training_makes_other_trainings(made):
    work, config, _ = made
    other = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 3.0})})
    cost = Curve(work, [50], ["questions"], {}, context(other, work / "cache")).cost()
    assert cost.trainings == 2 and cost.train_seconds > 0 and cost.embed_seconds > 0
    assert "2 trainings to do, 2 models to measure: about" in str(cost)


def test_the_model_of_the_last_run_is_used_for_everything(tmp_path):
    work, base = make_curve_work(tmp_path)
    its = context(curve_config(base), work / "cache")
    mine.run(work / "dataset", work / "triplets", its)
    train.run(work / "triplets", work / "dataset", work / "model", its)
    curve = Curve(work, [50], ["documents"], {}, its)
    assert (curve.cost().trainings, curve.cost().models) == (1, 2)
    curve.measure()
    (whole,) = folders(work, "questions-100-0")
    assert not (whole / "model").exists()


def test_several_trainings_draw_and_train_with_other_seeds(tmp_path):
    work, base = make_curve_work(tmp_path)
    its = context(curve_config(base, seeds=3), work / "cache")
    found = Curve(work, [50], ["questions"], {}, its).measure()
    assert found.trainings == 3
    halves = [trained_on(folder) for folder in folders(work, "questions-050")]
    assert len({frozenset(one) for one in halves}) == 3
    seeds = {read_manifest(folder / "model", "model").seed for folder in folders(work, "questions-100")}
    assert seeds == {42, 43, 44}


def test_the_spread_of_several_trainings_widens_the_interval():
    names = [f"q{number}" for number in range(12)]
    units = Units([[name] for name in names])
    sampling = Sampling(500, 0.95, 1)
    base = dict.fromkeys(names, 0.4)
    trainings = [{name: 0.5 + extra + 0.01 * (n % 2) for n, name in enumerate(names)} for extra in (0.0, 0.1, 0.2)]
    found = difference(trainings, [base] * 3, names, units, sampling)

    rows = [{"ndcg@10": float(np.mean([one[name] for one in trainings]))} for name in names]
    narrow = paired_intervals(rows, [{"ndcg@10": 0.4}] * 12, units, sampling)["ndcg@10"]
    # differences 0.105, 0.205 and 0.305: s = 0.1, and t(0.975, 2) = 4.302653, so the margin is 4.302653·0.1/√3
    margin = 4.302653 * 0.1 / 3**0.5
    assert found.mean == pytest.approx(0.205) == narrow.mean
    assert found.low == pytest.approx(0.205 - (margin**2 + (0.205 - narrow.low) ** 2) ** 0.5, abs=1e-5)
    assert found.high == pytest.approx(0.205 + (margin**2 + (narrow.high - 0.205) ** 2) ** 0.5, abs=1e-5)


@pytest.mark.parametrize(("shares", "kinds"), [([], ["questions"]), ([100], ["questions"]), ([50], [])])
def test_a_curve_of_one_point_is_refused(made, shares, kinds):
    work, config, _ = made
    with pytest.raises(ConfigError, match="no curve to measure"):
        Curve(work, shares, kinds, {}, context(config, work / "cache"))


def test_a_failed_training_says_which_one(tmp_path):
    work, base = make_curve_work(tmp_path)
    config = curve_config(base)
    strict = replace(
        context(config, work / "cache"), config=config.model_copy(update={"mine": strict_mine(config)})
    )
    with pytest.raises(
        GateError, match=r"^100 % of the questions: 24 of 24 train queries have fewer negatives than 20"
    ):
        Curve(work, [10], ["documents"], {}, strict).measure()


def strict_mine(config):
    return config.mine.model_copy(update={"negatives": 20, "min_negatives": 20, "max_short_share": 0.0})


def test_the_command_says_the_cost_and_writes_page_and_figures(made, tmp_path):
    work, config, found = made
    settings = [f"{name}={json.dumps(value)}" for name, value in flat(config.model_dump(mode="json"))]
    options = [word for setting in settings for word in ("--set", setting)]
    page = tmp_path / "page.html"
    arguments = ["curve", str(work), "--share", "50", "--preset", "minilm", "--output", str(page), *options]
    done = CliRunner().invoke(cli, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    assert "0 trainings to do" in done.stderr
    assert json.loads(done.stdout)["conclusion"] == found.conclusion
    assert read_record(work / "curve" / CURVE_FILE, LearningCurve) == found
    assert found.conclusion in page.read_text()
    shown = CliRunner().invoke(cli, arguments)
    assert "50 % of the documents" in shown.output and "the chance in it is not part" in shown.output
    only = CliRunner().invoke(cli, [*arguments, "--estimate", "--json"])
    assert json.loads(only.stdout)["trainings"] == 0


def flat(data: dict, before: str = ""):
    """Yield the settings that a preset may say otherwise."""
    for section in ("contract", "mine", "train", "evaluate"):
        for key, value in data[section].items():
            yield f"{section}.{key}", value
    yield "runtime.device", "cpu"


def test_a_directory_without_questions_says_what_to_run(tmp_path):
    done = CliRunner().invoke(cli, ["curve", str(tmp_path)])
    assert done.exit_code == 2 and "--to split" in done.output


def test_an_unknown_set_is_refused(made):
    work, config, _ = made
    with pytest.raises(InputError, match="not complete"):
        Curve(work, [50], ["questions"], {"ours": work / "nowhere"}, context(config, work / "cache"))
