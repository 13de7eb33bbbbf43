"""The first screen: answers in sentences for the person who decides, who need not know what retrieval is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from embedtune.core.formatting import counted, signed
from embedtune.core.records.deployment import DEPLOYMENT_FILE, Deployment
from embedtune.core.records.evaluation import Interval, Verdict
from embedtune.core.records.metrics import OLD_INDEX
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title
from embedtune.report.costs import cost_sentences
from embedtune.report.evaluation import TOP, Evaluation
from embedtune.report.hybrid_sentences import hybrid_sentences, joining
from embedtune.report.kinds import kinds_sentences
from embedtune.report.metric_rows import score_words
from embedtune.report.question_sets import Author, QuestionSet, question_set, whose
from embedtune.report.reasons import Reason, facts_of, reasons
from embedtune.report.work import Work

DEPLOY = "Deploy it: repeat the command of this run with `--to deploy`."
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


class Decision(StrEnum):
    """What to do with the tuned model; the value is the headline."""

    LIVE = "Better, and live already. Rebuild the search index with it."
    LIVE_UNPROVEN = "No proven gain, but the tuned model is live."
    SWITCH = "Better. Switch to the tuned model."
    CONFIRM = "Better on a language model's questions. Check with real ones, then switch."
    KEEP_LIVE = "Not better than the model that is live. Keep that one."
    UNTESTED = "Too few documents to tell. Keep the model you have."
    KEEP = "No proven gain. Keep the model you have."
    REJECT = "Worse. Do not use the tuned model."
    REJECT_IN_PART = "Worse on one set of questions. Do not use the tuned model."


@dataclass(frozen=True)
class Answer:
    """A question of the person who decides, and its answer in sentences."""

    question: str
    sentences: list[str]


@dataclass(frozen=True)
class FirstScreen:
    """The first screen of the report.

    Args:
        verdict: The verdict.
        headline: What to do, in one line.
        lead: What it means, in one sentence.
        steps: What to do now, in order; commands and settings are in backquotes.
        answers: The other questions, answered.
        reasons: Why the verdict is not WIN, with what to change.
    """

    verdict: Verdict
    headline: str
    lead: str
    steps: list[str]
    answers: list[Answer]
    reasons: list[Reason]


def first_screen(work: Work, evaluation: Evaluation, deploy: str = DEPLOY) -> FirstScreen:
    """Return the answers of a run that was evaluated.

    Args:
        work: The artifacts of the run.
        evaluation: Its evaluation.
        deploy: The sentence that says how a better model goes live.
    """
    asked = question_set(work, evaluation, evaluation.decided_on)
    found = reasons(facts_of(work, evaluation, asked))
    decision, joined = decide(work, evaluation, asked), hybrid_sentences(evaluation)
    return FirstScreen(
        verdict=evaluation.verdict.verdict,
        headline=decision.value,
        lead=_lead(evaluation, asked),
        steps=_steps(work, evaluation, decision, found, deploy),
        answers=[
            Answer("What was tested?", _tested(work, asked)),
            Answer("Did it get better?", _better(work, evaluation)),
            Answer("How sure is that?", _sure(evaluation)),
            Answer("For which questions?", kinds_sentences(evaluation)),
            *([Answer("And together with a keyword search?", joined)] if joined else []),
            Answer("Whose questions?", whose(asked, evaluation)),
            Answer("What does it cost?", cost_sentences(work, aligned=bool(_old_index(evaluation)))),
        ],
        reasons=found,
    )


def decide(work: Work, evaluation: Evaluation, asked: QuestionSet) -> Decision:
    """Return what to do: what the verdict says, and whether the tuned model may replace the live one."""
    verdict, promotion = evaluation.verdict.verdict, evaluation.verdict.promotion
    deployment = work.record("deployment", DEPLOYMENT_FILE, Deployment)
    if deployment is not None and deployment.deployed:
        return Decision.LIVE if verdict is Verdict.WIN else Decision.LIVE_UNPROVEN
    if verdict is Verdict.REGRESSION:
        return Decision.REJECT if evaluation.verdict.delta.direction == "down" else Decision.REJECT_IN_PART
    if promotion.against == "champion" and not promotion.better:
        return Decision.KEEP_LIVE
    if verdict is Verdict.MARGINAL:
        return Decision.UNTESTED if evaluation.verdict.delta.unbounded else Decision.KEEP
    return Decision.CONFIRM if asked.author is Author.MODEL else Decision.SWITCH


def date_of(work: Work) -> str:
    """Return the day on which the last stage finished, in words; "" if the manifests do not say."""
    finished = max((manifest.report.finished for manifest in work.manifests.values()), default="")
    if not finished:
        return ""
    day = datetime.fromisoformat(finished)
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def _lead(evaluation: Evaluation, asked: QuestionSet) -> str:
    """Say what people notice: how often the right passage comes first."""
    before, after = evaluation.changes.base.first, evaluation.changes.tuned.first
    start = f"Of {asked.asked}, the search put a right passage first for {before:,} before tuning"
    return f"{start} and for as many after." if after == before else f"{start} and for {after:,} after."


def _tested(work: Work, asked: QuestionSet) -> list[str]:
    documents = work.count("chunks", "documents.parquet")
    passages = work.count("chunks", "chunks.parquet")
    corpus = f"{documents:,} documents ({passages:,} passages)" if documents and passages else "your documents"
    base = list(work.manifests.values())[-1].contract.base_model.removeprefix("package:")
    return [
        f"Whether a search in {corpus} finds the right passage sooner after the search model `{base}` was tuned "
        f"on these documents. The model before and after answered the same {asked.asked}, which were not used in "
        "training."
    ]


def _better(work: Work, evaluation: Evaluation) -> list[str]:
    changes, queries = evaluation.changes, evaluation.deciding.queries
    yes = {
        Verdict.WIN: "Yes.",
        Verdict.MARGINAL: "Not provably.",
        Verdict.REGRESSION: "No, it got worse."
        if evaluation.verdict.delta.direction == "down"
        else "Not everywhere.",
    }[evaluation.verdict.verdict]
    said = [
        f"{yes} A right passage was among the first {TOP} for {changes.base.top:,} of {queries:,} questions "
        f"before and for {changes.tuned.top:,} after. {changes.better:,} questions got better results, "
        f"{changes.worse:,} worse ones, {changes.same:,} the same. What decides is a score that also counts how "
        f"high on the list it comes ({metric_title(DECIDING_METRIC)}; 1 would be perfect): it "
        f"{score_words(evaluation.deciding)}."
    ]
    for name in evaluation.deciding_first(evaluation.metrics.sets)[1:]:
        entry = evaluation.metrics.sets[name]
        other = question_set(work, evaluation, name)
        doubt = {"up": "", "down": ", and that is not chance", "unsure": ", which may be chance"}
        direction = entry.delta[DECIDING_METRIC].direction
        said.append(f"On {other.asked} it {score_words(entry)}{doubt[direction]}.")
    return said


def _sure(evaluation: Evaluation) -> list[str]:
    delta, width = evaluation.verdict.delta, f"{evaluation.verdict.confidence:.0%}"
    queries, units = evaluation.deciding.queries, counted(delta.units, "separate document")
    if delta.unbounded:
        return [
            f"It cannot be said. The {queries:,} questions are about only {units} "
            "(near-duplicates count as one), too few to tell a gain from chance."
        ]
    if delta.direction == "up":
        said = [
            f"Quite sure. The true gain in score lies between {_range(delta)} with {width} confidence, judging by "
            f"{queries:,} questions about {units}: more than chance would explain."
        ]
    elif delta.direction == "down":
        said = [
            f"Quite sure. The true change in score lies between {_range(delta)} with {width} confidence: a "
            "loss, more than chance would explain."
        ]
    else:
        said = [
            f"Not sure. The true change in score lies anywhere between {_range(delta)} with {width} confidence: "
            f"it may be a small gain, a small loss or nothing ({queries:,} questions about {units})."
        ]
    caution = evaluation.verdict.caution
    return [*said, caution] if caution else said


def _range(delta: Interval) -> str:
    decimals = 2 if min(abs(delta.low), abs(delta.high)) >= 0.005 else 3
    return f"{signed(delta.low, decimals)} and {signed(delta.high, decimals)}"


def _steps(work: Work, evaluation: Evaluation, decision: Decision, found: list[Reason], deploy: str) -> list[str]:
    passages = work.count("chunks", "chunks.parquet")
    every = f"all {passages:,} passages" if passages else "all passages"
    reindex = f"Rebuild the search index: embed {every} again with the tuned model (`embedtune reindex`). " + (
        _old_index(evaluation)
        or "Send queries to the new model and the new index from the same moment on, and keep the old model with "
        "its index, which are the way back, until the new ones have proved themselves."
    )
    join = joining(evaluation)
    if deploy == DEPLOY and evaluation.verdict.promotion.against == "base":  # no model is live
        deploy += " Nothing that people use changes yet."
    if decision is Decision.LIVE:
        return [reindex, *join]
    if decision is Decision.LIVE_UNPROVEN:
        return ["Decide whether that is wanted: it was deployed because of `deploy.accept`.", reindex]
    if decision is Decision.SWITCH:
        return [deploy, reindex, *join]
    if decision is Decision.CONFIRM:
        return [
            "Do not switch yet. Collect about 50 questions that users really asked, with the sentences that "
            "answer them (`embedtune eval-set`), and repeat the run with `--eval-set ours=DIR`.",
            f"If that is better too: {deploy[0].lower()}{deploy[1:]}",
            reindex,
            *join,
        ]
    return [_hold(evaluation, decision), *_next(found)]


def _old_index(evaluation: Evaluation) -> str:
    """Say that an index of the base can be searched meanwhile, if the tuned model is in its space; else "".

    With a champion the index has that one's vectors, on which nothing was measured. If the score were lower than
    before tuning meanwhile, it is better to switch at one moment.
    """
    means = {name: metrics[DECIDING_METRIC] for name, metrics in evaluation.deciding.systems.items()}
    meanwhile, before, after = (means.get(name, 0.0) for name in (OLD_INDEX, "base", "tuned"))
    if OLD_INDEX not in means or meanwhile < before or evaluation.verdict.promotion.against == "champion":
        return ""
    return (
        "Queries may go to the new model at once, and passages may be replaced one by one: while the index still "
        f"has all vectors of the model before tuning, the score is {meanwhile:.3f}; it was {before:.3f} and will "
        f"be {after:.3f}."
    )


def _hold(evaluation: Evaluation, decision: Decision) -> str:
    promotion = evaluation.verdict.promotion
    if decision is Decision.KEEP_LIVE:
        delta = promotion.delta
        figures = f"{signed(delta.mean, 3)}, {signed(delta.low, 3)} … {signed(delta.high, 3)}"
        return (
            "Change nothing in production: the comparison with the live model does not show a gain "
            f"({promotion.verdict.value}, {figures}). The search index stays as it is."
        )
    if promotion.against == "champion" and promotion.better:
        return (
            "Do not deploy it. It does score higher than the live model, but the untuned base model is at least "
            "as good: consider that one."
        )
    return "Change nothing in production: keep searching with the model you have. The search index stays as it is."


def _next(found: list[Reason]) -> list[str]:
    if not found:
        return []
    return [
        f"If you want to try again, start with the likeliest reason. {found[0].finding} {found[0].change}",
        "Then repeat the command of this run: what is up to date is not done again."
        + (" The other likely reasons are listed below." if len(found) > 1 else ""),
    ]
