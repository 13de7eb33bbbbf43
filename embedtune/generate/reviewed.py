"""What people decided about the questions: it counts for more than what the filters say."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from embedtune.core.records.rejections import Rejection
from embedtune.core.records.reviews import Review
from embedtune.generate.questions import Question


def with_reviews(questions: Sequence[Question], reviews: Mapping[str, Review]) -> list[Question]:
    """Apply reviews to written questions, before any filter.

    A rejected question is left out, so that one which it would repeat may stay. An accepted one, in the person's
    words if there are any, is no longer rejected by a filter, except one that finds repetitions: those would leak
    from train to test, or count the same question twice.

    Args:
        questions: Questions as they were written and judged.
        reviews: Decisions by question id; those about other questions have no effect.
    """
    return [_reviewed(question, reviews.get(question.question_id)) for question in questions]


def _reviewed(question: Question, review: Review | None) -> Question:
    if review is None or review.decision == "clear":
        return question
    if review.decision == "reject":
        return replace(question, reason=Rejection.REVIEWED)
    text, answer = review.question or question.question, review.answer or question.answer
    if not text.strip() or not answer.strip():
        return question
    return replace(question, question=text, answer=answer, reason="", accepted=True)


def review_counts(questions: Sequence[Question], reviews: Mapping[str, Review]) -> dict[str, int]:
    """Return how many reviews were applied, by kind, and how many are about questions that no longer exist."""
    written = {question.question_id: question for question in questions}
    applied = [review for name, review in reviews.items() if name in written]
    accepted = [review for review in applied if review.decision == "accept"]
    return {
        "reviewed_accepted": len(accepted),
        "reviewed_edited": sum(review.question is not None or review.answer is not None for review in accepted),
        "reviewed_rejected": sum(review.decision == "reject" for review in applied),
        "reviews_without_question": len(reviews) - len(applied),
    }
