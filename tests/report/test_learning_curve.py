"""What a learning curve shows, worked out by hand from its last step."""

import pytest

from embedtune.core.records.curve import CurvePoint, LearningCurve, SetCurve
from embedtune.core.records.evaluation import Interval
from embedtune.report.curve_page import render_curve
from embedtune.report.learning_curve import answer, conclusion, judge
from tests.support.parsed_html import HOSTILE, ParsedPage


def gap(mean: float, low: float, high: float, units: int = 20) -> Interval:
    return Interval(mean=mean, low=low, high=high, units=units)


@pytest.mark.parametrize(
    ("low", "high", "judgement"),
    [
        (0.001, 0.030, "helps"),  # above 0, and 0.01 is possible
        (0.001, 0.009, "flat"),  # above 0, but a gain of 0.01 is excluded
        (-0.020, 0.009, "flat"),
        (-0.020, 0.010, "unknown"),  # neither no gain nor a gain of 0.01 is excluded
        (0.000, 0.030, "unknown"),
        (-0.030, -0.001, "hurts"),
        (-1.0, 1.0, "unknown"),  # all that a difference can be: too few families for an interval
    ],
)
def test_the_last_step_decides(low, high, judgement):
    assert judge(gap((low + high) / 2, low, high)) == judgement


def points(step: Interval) -> list[CurvePoint]:
    return [
        CurvePoint(share=50, questions=1000, families=30, gain=gap(0.02, 0.01, 0.03), step=None),
        CurvePoint(share=100, questions=2000, families=60, gain=gap(0.04, 0.02, 0.06), step=step),
    ]


def test_an_answer_says_the_figures_it_follows_from():
    found = answer("questions", points(gap(0.02, 0.005, 0.035)), 6)
    assert found.judgement == "helps"
    assert found.sentence == (
        "More questions about the same documents would probably help. From 50 % of the questions (1,000 "
        "questions) to all (2,000), nDCG@10 changed by +0.0200 (+0.0050 … +0.0350): the gain is above chance, and "
        "the curve still rises."
    )
    assert "a gain of 0.01 is excluded" in answer("documents", points(gap(0.0, -0.01, 0.008)), 6).sentence
    assert "look at the questions" in answer("documents", points(gap(-0.02, -0.03, -0.01)), 6).sentence


def test_an_interval_that_is_too_wide_says_how_much_larger_the_test_set_must_be():
    # 0.03 wide; to be narrower than 0.01 it takes more than 3² = 9 times as many families
    found = answer("documents", points(gap(0.005, -0.01, 0.02)), 6)
    assert found.judgement == "unknown"
    assert found.sentence.startswith(
        "Whether more documents (with questions about them) would help cannot be told."
    )
    assert found.sentence.endswith("A test set about 10 times as large, with other documents, could tell.")


def test_too_few_families_are_named():
    found = answer("documents", points(gap(0.1, -1.0, 1.0, units=1)), 6)
    assert found.sentence.endswith("the test questions are about 1 family of documents, and an interval needs 6.")


@pytest.mark.parametrize(
    ("questions", "documents", "said"),
    [
        ("helps", "helps", "More questions and more documents would both probably help. Which of them helps more"),
        (
            "helps",
            "flat",
            "More questions would probably help; more documents like these would not help noticeably.",
        ),
        (
            "unknown",
            "helps",
            "More documents would probably help; whether more questions would help cannot be told from these test",
        ),
        ("flat", "hurts", "Neither more questions nor more documents like these would help noticeably."),
        (
            "flat",
            "unknown",
            "More questions like these would not help noticeably; whether more documents would help",
        ),
        (
            "unknown",
            "unknown",
            "Whether more questions or more documents would help cannot be told from these test",
        ),
    ],
)
def test_the_conclusion_claims_no_more_than_the_judgements(questions, documents, said):
    assert conclusion({"questions": questions, "documents": documents}, 3).startswith(said)


def test_the_conclusion_is_silent_about_what_was_not_measured():
    assert conclusion({"documents": "flat"}, 3) == "More documents like these would not help noticeably."


def test_a_claim_that_rests_on_one_training_says_so():
    assert conclusion({"documents": "flat"}, 1).endswith("noticeably. This rests on one training per share.")
    assert "one training" not in conclusion({"documents": "unknown"}, 1)  # which claims nothing


def curve(name: str, trainings: int = 1) -> LearningCurve:
    found = points(gap(0.02, 0.005, 0.035))
    return LearningCurve(
        metric="ndcg@10",
        confidence=0.95,
        worthwhile=0.01,
        trainings=trainings,
        decided_on=name,
        conclusion=conclusion({"questions": "helps", "documents": "helps"}, trainings),
        answers={kind: answer(kind, found, 6) for kind in ("questions", "documents")},
        sets=(
            SetCurve(name="few", questions=2, base=0.4, curves={"questions": tuple(points(gap(0.1, -1.0, 1.0)))}),
            SetCurve(name=name, questions=80, base=0.5, curves=dict.fromkeys(("questions", "documents"), found)),
        ),
    )


def test_the_page_is_one_safe_file_with_the_deciding_set_first(tmp_path):
    render_curve(curve(HOSTILE), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    page = ParsedPage(text)
    assert page.open == [] and page.addresses == [] and page.handlers == []
    assert not {"script", "link", "img", "iframe", "form"} & set(page.tags)
    assert page.tags.count("svg") == 2 and text.index("80 test questions") < text.index("2 test questions")
    assert "+0.0200 (" in text and "1,000 questions" in text


@pytest.mark.parametrize(("trainings", "words"), [(1, "one training per share"), (3, "the mean of 3 trainings")])
def test_the_page_says_what_its_intervals_leave_out(tmp_path, trainings, words):
    render_curve(curve("ours", trainings), tmp_path / "page.html")
    assert words in (tmp_path / "page.html").read_text()
