"""The page on which a person reads questions and decides about them: one file, which sends no request."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

QUESTIONS_FILE = "questions.html"
TEMPLATE = Path(__file__).parent / "templates" / "questions.html"


@dataclass(frozen=True)
class PassageShown:
    """A passage that a question was written about: the path of its document, its heading path, its text."""

    path: str
    heading: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class QuestionShown:
    """One question on the page.

    Args:
        id: Its id in the questions artifact.
        state: Whether the filters kept it.
        reason: Why they did not, in words; "" if they did.
        split: train, dev or test.
        question: The question.
        answer: Its answer.
        passages: Ids of the passages that it was written about.
        style: Its style.
        type: Its query type.
        hops: Number of passages that it needs.
        scores: The judge's scores from 1 to 10, by name.
        ranks: Ranks of its passages in the base model and in BM25, by name.
        review: What was decided about it before; None if nothing was.
    """

    id: str
    state: str
    reason: str
    split: str
    question: str
    answer: str
    passages: tuple[str, ...]
    style: str
    type: str
    hops: int
    scores: tuple[tuple[str, float], ...]
    ranks: tuple[tuple[str, str], ...]
    review: dict[str, str | None] | None


@dataclass(frozen=True)
class ReasonShown:
    """The questions that were rejected for one reason: how many, and a few of them."""

    text: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class QuestionsPage:
    """What the page contains.

    Args:
        fingerprint: Identifies the questions: a browser keeps unsaved decisions under it.
        writers: The models that wrote and judged.
        kept: Number of questions that the filters kept.
        rejected: Number of those that they did not.
        total: Number of questions that can be read; `items` may have fewer.
        needed: Number of accepted test questions that make an evaluation set.
        checked_elsewhere: Number of accepted test questions that are not among `items`.
        command: The command that imports the decisions.
        reasons: Rejections by reason, the most frequent first.
        items: The questions.
        passages: Their passages, by id.
    """

    fingerprint: str
    writers: str
    kept: int
    rejected: int
    total: int
    needed: int
    checked_elsewhere: int
    command: str
    reasons: tuple[ReasonShown, ...]
    items: tuple[QuestionShown, ...]
    passages: Mapping[str, PassageShown]


def render_questions(page: QuestionsPage) -> str:
    """Return the page as HTML.

    Documents and LLM replies are untrusted: they are data that the page's script inserts as text, and its content
    security policy allows that script and no other, no style but its own, and no request.
    """
    template = TEMPLATE.read_text(encoding="utf-8")
    return template.replace("__POLICY__", _policy(template)).replace("__DATA__", _as_data(asdict(page)))


def _as_data(content: object) -> str:
    """Return JSON in which no character can end the element that it is in, or start another."""
    text = json.dumps(content, ensure_ascii=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _policy(template: str) -> str:
    allowed = {}
    for tag in ("script", "style"):
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found]
        allowed[tag] = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed['script']}; style-src {allowed['style']}; "
        "base-uri 'none'; form-action 'none'"
    )
