"""Reasons for a verdict other than WIN: from a run's figures, each with a setting that exists."""

import re
from dataclasses import replace

import numpy as np
import pytest

from embedtune.core.config.config import Config
from embedtune.core.records.metrics import Metrics
from embedtune.core.records.training import DevPoint, KeptStep, Training
from embedtune.mine.audit import distribution
from embedtune.report.question_sets import Author, QuestionSet
from embedtune.report.reasons import CHECKS, Facts, reasons
from tests.support.evaluation_records import interval, make_evaluation
from tests.support.report_work import make_audit

UNSURE = interval(0.02, -0.02, 0.06)
GIVEN, MODEL = QuestionSet("hand", 100, Author.GIVEN), QuestionSet("synthetic", 100, Author.MODEL, "qwen")


def _training(*dev: float, rows: int = 5000, best: int | None = None) -> Training:
    points = tuple(DevPoint(step=10 * n, epoch=n, ndcg_at_10=value) for n, value in enumerate(dev))
    highest = max(range(len(dev)), key=lambda n: dev[n]) if best is None else best
    return Training(
        steps=(),
        dev=points,
        dev_pool=None,
        best=KeptStep(step=10 * highest, epoch=highest, ndcg_at_10=dev[highest]),
        base_share=0.0,
        shares=(),
        rows=rows,
        negatives=4,
        batch_size=32,
        device="cpu",
        precision="fp32",
        attention="auto",
        weights="fp32",
        seeds=(),
        matryoshka=(),
    )


def _facts(delta=UNSURE, asked=GIVEN, training=None, written=None, truncated=0.0, **evaluation) -> Facts:
    made = make_evaluation(delta, name=asked.name, **evaluation)
    return Facts(made, asked, training, None, written, truncated)


def _findings(facts: Facts) -> str:
    return "\n".join(reason.finding for reason in reasons(facts))


def test_a_win_needs_no_reason():
    assert reasons(_facts(interval(0.05, 0.02, 0.08), training=_training(0.5, 0.5, rows=10))) == []


def test_another_base_is_always_the_last_resort():
    (only,) = reasons(_facts(interval(-0.001, -0.02, 0.02)))
    assert "`--base`" in only.change


def test_negatives_that_look_right_are_named_only_if_they_were_trained_on():
    scores = {"positive_scores": distribution(np.array([0.5])), "negative_scores": distribution(np.array([0.45]))}
    audit = make_audit().model_copy(update=scores)
    used = replace(_facts(training=_training(0.5, 0.6)), audit=audit)
    assert "look nearly as right as the right ones (median score 0.45 against 0.50)" in _findings(used)
    unused = replace(used, training=used.training.model_copy(update={"negatives": 0}))
    assert "look nearly as right" not in _findings(unused)


def test_too_few_questions_say_how_many_would_do():
    # The interval is 0.04 wide on each side of a gain of 0.02: half as wide takes four times as many.
    assert "4.0 times as many test questions would show it, about as many more documents (now 20)" in _findings(
        _facts()
    )
    assert "too small to matter" in _findings(_facts(interval(0.002, -0.02, 0.024)))


def test_too_few_documents_give_no_interval():
    found = _findings(_facts(interval(0.05, -1.0, 1.0, units=4)))
    assert "about only 4 separate documents" in found and "smaller than its uncertainty" not in found


def test_questions_that_copy_their_passages():
    found = _findings(_facts(asked=MODEL, caution="copied", means=(0.78, 0.77, 0.775)))
    assert (
        "60% of their words, by weight, are in the passage" in found and "scores 0.78 (base model: 0.77)" in found
    )


def test_little_is_left_to_gain():
    assert "already scores 0.91 of at most 1" in _findings(_facts(means=(0.3, 0.91, 0.912)))
    assert "already scores" not in _findings(_facts())


def test_a_model_that_learned_other_questions_than_yours():
    flat = interval(0.001, -0.01, 0.012)
    learned = _training(0.5, 0.6, 0.62)
    assert "0.50 → 0.62 on those set aside to watch it), but not at yours" in _findings(
        _facts(flat, training=learned)
    )
    assert "but not at yours" not in _findings(_facts(flat, asked=MODEL, training=learned))
    assert "but not at yours" not in _findings(_facts(flat, training=_training(0.5, 0.501)))


def test_a_model_that_fell_on_new_questions_of_the_same_author_has_moved_too_far():
    facts = _facts(interval(-0.05, -0.09, -0.01), training=_training(0.5, 0.6, 0.62))
    fallen = facts.evaluation.deciding.model_copy(update={"delta": {"ndcg@10": interval(-0.04, -0.07, -0.01)}})
    sets = facts.evaluation.metrics.sets | {"synthetic": fallen}
    worse = _findings(replace(facts, evaluation=replace(facts.evaluation, metrics=Metrics(sets=sets))))
    assert "worse at the test questions, yours and the language model's: it has moved too far" in worse
    assert "asks differently from your users" not in worse
    assert "asks differently from your users" in _findings(facts)


def test_training_that_improved_nothing_and_training_that_ended_early():
    assert (
        "Training hardly helped even with questions like those that it was trained on (score 0.500 → 0.501"
        in _findings(_facts(training=_training(0.5, 0.501, 0.49)))
    )
    rising = _findings(_facts(training=_training(0.5, 0.55, 0.6)))
    assert "still rising when it ended (0.550 → 0.600)" in rising and "hardly helped" not in rising
    assert "still rising" not in _findings(_facts(training=_training(0.5, 0.6, 0.58)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"training": _training(0.5, 0.6, 0.59, rows=185)}, "only 185 training rows"),
        ({"written": (40, 100)}, "Of 100 generated questions only 40 were good enough"),
        ({"means": (0.6, 0.5, 0.52)}, "A search by words alone does better than both models (0.60)"),
        ({"truncated": 0.12}, "12% of the passages are longer than the model reads"),
    ],
)
def test_further_reasons(change, words):
    assert words in _findings(_facts(**change))
    assert words.split(" ", 3)[-1] not in _findings(_facts())


def test_a_fall_on_another_set_is_a_reason_of_its_own():
    facts = _facts(interval(0.05, 0.02, 0.08), verdict="REGRESSION")
    entry = facts.evaluation.deciding.model_copy(update={"delta": {"ndcg@10": interval(-0.05, -0.09, -0.01)}})
    sets = facts.evaluation.metrics.sets | {"other": entry}
    worse = replace(facts.evaluation, metrics=Metrics(sets=sets))
    assert "those of the set “other” did" in _findings(replace(facts, evaluation=worse))
    assert "those of the set" not in _findings(facts)


def test_every_setting_that_is_named_exists():
    known = Config.model_json_schema()["$defs"]
    worst = [
        _facts(interval(0.05, -1.0, 1.0, units=4), asked=asked, caution="copied", means=(0.95, 0.9, 0.9))
        for asked in (GIVEN, MODEL, QuestionSet("synthetic", 9, Author.LABELLED))
    ]
    worst += [_facts(training=_training(0.5, 0.5, rows=9), written=(1, 9), truncated=0.5)]
    worst += [_facts(interval(0.0, -0.1, 0.1), training=_training(0.5, 0.6, 0.7, rows=9))]
    named = {
        setting
        for facts in worst
        for check in CHECKS
        if (reason := check(facts))
        for setting in re.findall(r"`(\w+\.[\w.]+)[=`]", reason.change)
    }
    assert len(named) >= 8
    for setting in named:
        section, *keys = setting.split(".")
        properties = Config.model_json_schema()["properties"][section]
        for key in keys:
            name = re.search(r"/(\w+)'", str(properties)).group(1)
            properties = known[name]["properties"][key]
