"""The files of `embedtune curve`: what one training reached on one set, and the whole learning curve."""

from typing import ClassVar, Literal

from embedtune.core.records.base import JsonRecord, Part
from embedtune.core.records.evaluation import Interval

Kind = Literal["questions", "documents"]
Judgement = Literal["helps", "flat", "hurts", "unknown"]
KINDS: tuple[Kind, ...] = ("questions", "documents")
WHOLE = 100  # percent
CURVE_FOLDER = "curve"  # of a work directory
CURVE_FILE = "curve.json"  # in it


class QuestionFigures(JsonRecord):
    """nDCG@10 of one model on one set.

    Args:
        set_name: Name of the set.
        values: nDCG@10 by id of the question.
    """

    NAME: ClassVar[str] = "question_figures"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune curve"

    set_name: str
    values: dict[str, float]


class CurvePoint(Part):
    """What a share of the training data reached on one set.

    Args:
        share: Percent of the questions, or of the document families.
        questions: Questions trained on; the mean if there are several trainings.
        families: Document families whose passages training saw; the mean too.
        gain: Paired difference of nDCG@10 from the base model.
        step: Paired difference from the point before; None for the first one.
    """

    share: int
    questions: int
    families: int
    gain: Interval
    step: Interval | None


class SetCurve(Part):
    """The curves on one set.

    Args:
        name: Name of the set.
        questions: Number of its questions.
        base: Mean nDCG@10 of the base model.
        curves: The points by what there is less of, the smallest share first; the last one is everything.
    """

    name: str
    questions: int
    base: float
    curves: dict[Kind, tuple[CurvePoint, ...]]


class Answer(Part):
    """Whether more of one kind would help.

    Args:
        judgement: What the last step of the curve shows on the deciding set.
        sentence: The same in words, with the figures.
    """

    judgement: Judgement
    sentence: str


class LearningCurve(JsonRecord):
    """The learning curve of a work directory.

    Args:
        metric: The metric of all figures.
        confidence: Width of the intervals, for example 0.95.
        worthwhile: The smallest gain of the metric that is counted as help.
        trainings: Trainings per point; with several, their spread is part of the intervals.
        decided_on: The set that the answers are about.
        conclusion: Whether more questions, more documents or neither would help, or that it cannot be told.
        answers: The same for each kind.
        sets: The curves on each set.
    """

    NAME: ClassVar[str] = "learning_curve"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune curve"

    metric: str
    confidence: float
    worthwhile: float
    trainings: int
    decided_on: str
    conclusion: str
    answers: dict[Kind, Answer]
    sets: tuple[SetCurve, ...]
