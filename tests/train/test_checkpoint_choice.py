"""An earlier checkpoint is kept only if it is better than the last one by more than the noise of dev."""

import itertools

import numpy as np
import pytest

from embedtune.train.checkpoint_choice import is_clearly_better, kept_step
from embedtune.train.dev import DevSet
from tests.support.training_world import Interrupt, World, make_world, record_of, tiny_config, train, weights

ALONE = {f"q{number}": f"d{number}" for number in range(16)}


def differing(*differences: float) -> tuple[dict[str, float], dict[str, float]]:
    theirs = {f"q{number}": 0.5 for number in range(len(differences))}
    return {name: 0.5 + by for (name, _), by in zip(theirs.items(), differences, strict=True)}, theirs


def test_one_question_of_four_that_improves_is_noise() -> None:
    # The mean is 0.1; the deviations are 0.3 and three times -0.1: the standard error is sqrt(0.12) / 4 = 0.087.
    assert not is_clearly_better(*differing(0.4, 0.0, 0.0, 0.0), ALONE)


def test_eight_of_sixteen_are_not() -> None:
    # The mean is 0.1; all deviations are 0.1 or -0.1: the standard error is sqrt(0.16) / 16 = 0.025.
    assert is_clearly_better(*differing(*[0.2] * 8, *[0.0] * 8), ALONE)


def test_unless_the_eight_are_about_one_document_family() -> None:
    # Two families whose deviations add up to 0.8 and -0.8: the standard error is sqrt(1.28) / 16 = 0.071.
    families = {name: "left" if int(name[1:]) < 8 else "right" for name in ALONE}
    assert not is_clearly_better(*differing(*[0.2] * 8, *[0.0] * 8), families)


def test_a_lower_or_equal_mean_is_never_better() -> None:
    assert not is_clearly_better(*differing(0.0, 0.0), ALONE)
    assert not is_clearly_better(*differing(-0.2, -0.2), ALONE)


def history(**steps: dict[str, float]) -> list[dict[str, object]]:
    measured = [{"step": int(name[1:]), "eval_ndcg@10_by_question": values} for name, values in steps.items()]
    return [{"step": 1, "loss": 0.5}, *measured]


def test_the_choice_is_made_from_the_trainers_log() -> None:
    better = history(s3={"q0": 0.6, "q1": 0.8}, s6={"q0": 0.5, "q1": 0.7})  # both by 0.1: the standard error is 0
    assert kept_step(3, 6, better, ALONE) == 3
    by_chance = history(s3={"q0": 0.9, "q1": 0.5}, s6={"q0": 0.5, "q1": 0.7})  # by 0.4 and by -0.2
    assert kept_step(3, 6, by_chance, ALONE) == 6
    assert kept_step(6, 6, [], {}) == 6


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def graded(monkeypatch, whole: list[float], checkpoints: list[dict[str, float]]) -> None:
    """Dev measurements of whole models, and of checkpoints by question, that are made up."""
    models, steps = iter(whole), iter(checkpoints)
    monkeypatch.setattr(DevSet, "measure", lambda *_: {32: next(models)})
    monkeypatch.setattr(DevSet, "measure_checkpoint", lambda *_: whole[0])
    monkeypatch.setattr(DevSet, "_among_pool", lambda *_: next(steps))


def by_question(world: World, *values: float) -> dict[str, float]:
    """Give the dev questions these values in turn."""
    config = tiny_config(world)
    names = DevSet(world.dataset, config.contract, config.runtime).families
    return dict(zip(names, itertools.cycle(values), strict=False))


def test_an_earlier_checkpoint_that_is_clearly_better_is_kept(world, tmp_path, monkeypatch):
    graded(monkeypatch, [0.1, 0.3], [by_question(world, 0.3), by_question(world, 0.2)])
    report = train(world, tmp_path / "model", tiny_config(world, learning_rate=1e-2))
    assert report.metrics["best_step"] == 3
    record = record_of(tmp_path / "model")
    assert [entry.ndcg_at_10 for entry in record.dev] == [0.1, pytest.approx(0.3), pytest.approx(0.2)]
    monkeypatch.undo()
    # The weights are those of a run that is interrupted after three steps, not those of the last step.
    config = tiny_config(world, learning_rate=1e-2)
    with pytest.raises(KeyboardInterrupt):
        train(world, tmp_path / "cut", config, Interrupt(4))
    (checkpoints,) = (tmp_path / "cache-cut" / "train").iterdir()
    for name, tensor in weights(tmp_path / "model").items():
        np.testing.assert_array_equal(tensor, weights(checkpoints / "checkpoint-3")[name])


def test_the_last_checkpoint_is_kept_if_an_earlier_one_is_better_within_the_noise(world, tmp_path, monkeypatch):
    graded(monkeypatch, [0.1, 0.3], [by_question(world, 0.9, 0.2), by_question(world, 0.2, 0.8)])
    report = train(world, tmp_path / "model", tiny_config(world, learning_rate=1e-2))
    assert report.metrics["best_step"] == 6
    assert [round(entry.ndcg_at_10, 3) for entry in record_of(tmp_path / "model").dev] == [0.1, 0.55, 0.5]


def test_a_model_that_does_not_beat_the_base_gets_a_note(world, tmp_path, monkeypatch):
    graded(monkeypatch, [0.5, 0.4], [by_question(world, 0.3), by_question(world, 0.4)])
    report = train(world, tmp_path / "model", tiny_config(world))
    assert report.metrics["best_step"] == 6
    assert "the tuned model does not beat the base model on dev" in report.notes[0]
