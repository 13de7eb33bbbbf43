"""Why a run may not have won: likely reasons from its own figures, each with the setting to change.

The limits are our own choice unless a comment says what was measured.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from embedtune.core.comparisons import SYNTHETIC
from embedtune.core.formatting import counted, signed
from embedtune.core.records.audit import AUDIT_FILE, Audit
from embedtune.core.records.evaluation import Interval, Verdict
from embedtune.core.records.training import TRAINING_FILE, Training
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title
from embedtune.report.evaluation import Evaluation
from embedtune.report.question_sets import Author, QuestionSet, more_questions
from embedtune.report.work import Work

SHOWN = 5
CEILING = 0.85  # mean of the deciding metric above which little is left to gain
FEW_ROWS = 300  # the handbook gained 0.015, 0.018 and 0.036 with 45, 90 and 188 rows (docs/experiments.md)
KEPT_SHARE = 0.5  # 61 to 75% of the questions were kept where tuning was tried (docs/experiments.md)
NEAR_POSITIVE = 0.8  # 0.84 on FiQA, where mined negatives did harm (docs/experiments.md)
DEV_GAIN = 0.005  # change of the deciding metric on dev that is more than rounding
HOPELESS = 30  # times the documents of today: nobody asks so many questions
TRUNCATED = 0.01  # share of the passages


@dataclass(frozen=True)
class Reason:
    """A likely reason, and what to do about it; settings are in backquotes."""

    finding: str
    change: str


@dataclass(frozen=True)
class Facts:
    """The figures of a run that explain its verdict; None where a stage has not run here."""

    evaluation: Evaluation
    asked: QuestionSet
    training: Training | None
    audit: Audit | None
    written: tuple[int, int] | None  # questions kept, and questions written
    truncated: float

    @property
    def delta(self) -> Interval:
        """The difference on the deciding set."""
        return self.evaluation.verdict.delta

    def mean(self, system: str) -> float:
        """Mean of the deciding metric on the deciding set."""
        return self.evaluation.deciding.systems[system][DECIDING_METRIC]

    @property
    def dev(self) -> tuple[float, float] | None:
        """The deciding metric on dev before training and at its best; None without dev questions."""
        if self.training is None or not self.training.dev:
            return None
        return self.training.dev[0].ndcg_at_10, max(point.ndcg_at_10 for point in self.training.dev)


def facts_of(work: Work, evaluation: Evaluation, asked: QuestionSet) -> Facts:
    """Collect the figures."""
    kept = work.count("questions", "questions.parquet")
    rejected = work.count("questions", "rejected.parquet")
    chunks = work.manifests.get("chunks")
    truncated = chunks.report.metrics.get("truncated_share", 0.0) if chunks else 0.0
    return Facts(
        evaluation=evaluation,
        asked=asked,
        training=work.record("model", TRAINING_FILE, Training),
        audit=work.record("triplets", AUDIT_FILE, Audit),
        written=(kept, kept + rejected) if kept is not None and rejected is not None else None,
        truncated=float(truncated) if isinstance(truncated, int | float) else 0.0,
    )


def reasons(facts: Facts) -> list[Reason]:
    """Return the likely reasons for a verdict other than WIN, the most likely first; none for a WIN."""
    if facts.evaluation.verdict.verdict is Verdict.WIN:
        return []
    found = [reason for check in CHECKS if (reason := check(facts)) is not None]
    return [*found[:SHOWN], _another_base(facts)]


def _too_few_documents(facts: Facts) -> Reason | None:
    if not facts.delta.unbounded:
        return None
    documents = counted(facts.delta.units, "separate document")
    return Reason(
        f"The {facts.asked.queries:,} test questions are about only {documents}. "
        "With so few, no gain can be told from chance.",
        f"Test on questions about more documents: {more_questions(facts.asked)}.",
    )


def _too_few_questions(facts: Facts) -> Reason | None:
    delta = facts.delta
    if delta.unbounded or delta.direction != "unsure" or delta.mean <= 0:
        return None
    # The width of an interval falls with the root of the number of independent cases.
    half = (delta.high - delta.low) / 2
    factor = (half / delta.mean) ** 2
    start = f"The gain in score ({signed(delta.mean, 3)}) is smaller than its uncertainty (±{half:.3f})"
    if factor > HOPELESS:
        return Reason(
            f"{start}: it is too small to matter, even if it is real.", "Look at the reasons below first."
        )
    times = f"{math.ceil(factor * 10) / 10:.1f}"
    return Reason(
        f"{start}. If it is real, {times} times as many test questions would show it, about as many more "
        f"documents (now {delta.units:,}).",
        f"To get more test questions, {more_questions(facts.asked)}.",
    )


def _other_set(facts: Facts) -> Reason | None:
    sets, decided_on = facts.evaluation.metrics.sets, facts.evaluation.decided_on
    fallen = [
        name
        for name, entry in sets.items()
        if name != decided_on and entry.delta[DECIDING_METRIC].direction == "down"
    ]
    if not fallen or facts.delta.direction == "down":
        return None
    named = " and ".join(f"“{name}”" for name in fallen)
    return Reason(
        f"The questions that decide did not get worse, but those of the set {named} did: the model forgot "
        "something while it learned.",
        "Look at the losses of that set under Examples. A lower `train.learning_rate` or fewer `train.epochs` "
        "change the model less.",
    )


def _leak(facts: Facts) -> Reason | None:
    if not facts.evaluation.verdict.caution:
        return None
    overlap = facts.evaluation.slices.sets[facts.asked.name].word_overlap
    return Reason(
        f"The test questions repeat their passages: {overlap:.0%} of their words, by weight, are in the "
        f"passage, and a search by words alone scores {facts.mean('bm25'):.2f} (base model: "
        f"{facts.mean('base'):.2f}). A better understanding of meaning cannot show.",
        "Test on questions of people (`--eval-set`), or lower `generate.max_word_overlap`, or use a stronger "
        "`generate.llm.model`.",
    )


def _ceiling(facts: Facts) -> Reason | None:
    if facts.mean("base") < CEILING:
        return None
    return Reason(
        f"The base model already scores {facts.mean('base'):.2f} of at most 1: little is left to gain on these "
        "questions.",
        "If your users ask like this, keep the base model. Else test on harder questions (`--eval-set`).",
    )


def _wrong_questions(facts: Facts) -> Reason | None:
    dev = facts.dev
    if (
        facts.asked.author is not Author.GIVEN
        or dev is None
        or dev[1] - dev[0] < DEV_GAIN
        or facts.delta.mean > 0.01
    ):
        return None
    generated = facts.evaluation.metrics.sets.get(SYNTHETIC)
    if generated is not None and generated.delta[DECIDING_METRIC].direction == "down":
        return Reason(
            f"The search model got better at the questions set aside to watch training (score {dev[0]:.2f} → "
            f"{dev[1]:.2f}), but worse at the test questions, yours and the language model's: it has moved too "
            "far from the model before tuning.",
            "Halve `train.learning_rate`; if that is not enough, raise `train.base_share`, which goes a part of "
            "the way back.",
        )
    return Reason(
        f"The search model got better at questions like those that it was trained on (score {dev[0]:.2f} → "
        f"{dev[1]:.2f} on those set aside to watch it), but not at yours: the language model that wrote them asks "
        "differently from your users.",
        "Give it real queries as examples (`generate.example_queries`), say who asks (`generate.domain`, "
        "`generate.audience`), or use a stronger `generate.llm.model`.",
    )


def _did_not_learn(facts: Facts) -> Reason | None:
    dev = facts.dev
    if dev is None or dev[1] - dev[0] >= DEV_GAIN:
        return None
    return Reason(
        "Training hardly helped even with questions like those that it was trained on (score "
        f"{dev[0]:.3f} → {dev[1]:.3f} on those set aside to watch it).",
        "Try two or three values of `train.learning_rate` (half and twice today's), and more `train.epochs` if "
        "the training curve below was still falling at its end.",
    )


def _still_rising(facts: Facts) -> Reason | None:
    if facts.training is None or len(facts.training.dev) < 2:
        return None
    before, last = facts.training.dev[-2:]
    if last.ndcg_at_10 - before.ndcg_at_10 < DEV_GAIN or facts.training.best.step != last.step:
        return None
    return Reason(
        "The score on the questions set aside to watch training was still rising when it ended "
        f"({before.ndcg_at_10:.3f} → {last.ndcg_at_10:.3f}).",
        "Raise `train.epochs`.",
    )


def _few_rows(facts: Facts) -> Reason | None:
    if facts.training is None or facts.training.rows >= FEW_ROWS:
        return None
    return Reason(
        f"There were only {facts.training.rows:,} training rows. So few change a model only a little.",
        "Raise `generate.max_chunks` or `generate.questions_per_chunk`, or add documents.",
    )


def _false_negatives(facts: Facts) -> Reason | None:
    audit = facts.audit
    if facts.training is not None and not facts.training.negatives:
        return None
    if audit is None or not audit.positive_scores.quantiles or not audit.negative_scores.quantiles:
        return None
    right, wrong = audit.positive_scores.quantiles.median, audit.negative_scores.quantiles.median
    if right <= 0 or wrong / right < NEAR_POSITIVE:
        return None
    return Reason(
        f"The passages used as wrong answers look nearly as right as the right ones (median score {wrong:.2f} "
        f"against {right:.2f}); some may be right answers, and then training unlearns them.",
        "Set `train.negatives=0` if your documents say the same thing in many places.",
    )


def _weak_writer(facts: Facts) -> Reason | None:
    if facts.written is None or not facts.written[1] or facts.written[0] / facts.written[1] >= KEPT_SHARE:
        return None
    kept, written = facts.written
    return Reason(
        f"Of {written:,} generated questions only {kept:,} were good enough: the language model that writes "
        "them is too weak for these documents.",
        "Use a stronger `generate.llm.model`, and describe `generate.domain`.",
    )


def _word_search(facts: Facts) -> Reason | None:
    if facts.mean("bm25") <= max(facts.mean("base"), facts.mean("tuned")):
        return None
    return Reason(
        f"A search by words alone does better than both models ({facts.mean('bm25'):.2f}): these questions hang "
        "on names, codes or exact words.",
        "Combine both searches (hybrid search) in your search engine, whatever model you take.",
    )


def _truncated(facts: Facts) -> Reason | None:
    if facts.truncated <= TRUNCATED:
        return None
    return Reason(
        f"{facts.truncated:.0%} of the passages are longer than the model reads, so their ends are never found.",
        "Lower `ingest.max_words`, or raise `contract.max_length` if the base model allows it.",
    )


def _another_base(facts: Facts) -> Reason:
    base = f"{metric_title(DECIDING_METRIC)} {facts.mean('base'):.2f}"
    return Reason(
        f"The base model itself may be the limit ({base}). Choosing another is often worth more than tuning.",
        "Run again with `--base`, for example `--base gte-small`.",
    )


Check = Callable[[Facts], Reason | None]
CHECKS: tuple[Check, ...] = (
    _other_set,
    _too_few_documents,
    _leak,
    _ceiling,
    _wrong_questions,
    _did_not_learn,
    _false_negatives,
    _too_few_questions,
    _few_rows,
    _still_rising,
    _weak_writer,
    _word_search,
    _truncated,
)
