"""What a run cost and what its model costs: from the manifests and, after a deployment, the re-index plan."""

from embedtune.core.artifacts import Manifest
from embedtune.core.formatting import duration
from embedtune.core.records.deployment import REINDEX_FILE, ReindexPlan
from embedtune.core.records.evaluation import SPEED
from embedtune.core.records.training import TRAINING_FILE, Training
from embedtune.report.work import Work

FLOAT32 = 4  # bytes


def cost_sentences(work: Work, *, aligned: bool = False) -> list[str]:
    """Say what this run cost, what running the tuned model costs, and what re-indexing costs.

    Args:
        work: The work directory.
        aligned: Whether the tuned model also searches an index of its base (`train.align`).
    """
    return [_this_run(work), *_running(work), *_reindex(work, aligned)]


def llm_cost(work: Work) -> str:
    """Return the price of the run's LLM calls in a few words; an unknown price is never shown as 0."""
    cost = sum(manifest.report.cost_usd for manifest in work.manifests.values())
    if cost:
        return f"${cost:,.2f}"
    questions = work.manifests.get("questions")
    return "unknown" if questions and questions.report.metrics.get("calls") else "nothing"


def _this_run(work: Work) -> str:
    seconds = sum(manifest.report.seconds for manifest in work.manifests.values())
    training = work.record("model", TRAINING_FILE, Training)
    device = f" (training on {training.device})" if training else ""
    return (
        f"This run took {duration(seconds)}{device}{_llm_clause(work.manifests.get('questions'), llm_cost(work))}."
    )


def _llm_clause(questions: Manifest | None, cost: str) -> str:
    if questions is None:
        return " and used no language model"
    if cost == "nothing":
        return " and paid for no call of a language model"
    calls = questions.report.metrics.get("calls")
    called = f" {calls:,}" if isinstance(calls, int) else ""
    if cost == "unknown":
        return f";{called} calls of a language model, at a price that this run was not told"
    return f" and {cost} for{called} calls of a language model"


def _running(work: Work) -> list[str]:
    model = work.manifests.get("model")
    if model is None:
        return []
    size = sum(record.bytes for name, record in model.files.items() if name.endswith(".safetensors"))
    megabytes = f"{size / 1e6:,.0f} MB, " if size else ""
    return [
        f"Running the tuned model costs what the model before tuning costs: it has the same size ({megabytes}"
        f"{model.contract.dimensions[0]:,} numbers per vector)."
    ]


def _reindex(work: Work, aligned: bool) -> list[str]:
    passages = work.count("chunks", "chunks.parquet")
    model = work.manifests.get("model")
    if model is None or not passages:
        return []
    size = passages * model.contract.dimensions[0] * FLOAT32 / 1e6
    took = _seconds(work, passages)
    how_long = f"about {duration(took)} at the speed of this machine" if took else "time not measured"
    why = "" if aligned else ", since an index made with one model cannot be searched with another"
    return [
        f"Switching means rebuilding the search index: all {passages:,} passages are embedded again ({how_long}; "
        f"{size:,.1f} MB of vectors){why}."
    ]


def _seconds(work: Work, passages: int) -> float | None:
    """Return how long all passages take: as measured through the endpoint, else in evaluate."""
    if (work.path / "deployment" / REINDEX_FILE).is_file():
        plan = work.record("deployment", REINDEX_FILE, ReindexPlan)
        if plan is not None:
            return plan.estimated_seconds
    evaluation = work.manifests.get("evaluation")
    speed = evaluation.report.metrics.get(SPEED) if evaluation else None
    return passages / speed if isinstance(speed, float | int) and speed else None
