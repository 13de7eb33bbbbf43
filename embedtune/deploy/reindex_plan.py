"""The re-index plan: what a vector store has to do before it may answer queries of a new release."""

from embedtune.core.errors import ConfigError
from embedtune.core.records.deployment import ReindexPlan
from embedtune.serve.release.record import Release

FLOAT32 = 4  # bytes


def reindex_plan(release: Release, chunks: int, passages_per_second: float, before: str | None) -> ReindexPlan:
    """Return the plan.

    Args:
        release: The new release.
        chunks: Number of passages in the corpus.
        passages_per_second: As measured through the endpoint.
        before: Id of the release whose vectors the store holds now; None if there is none.
    """
    if passages_per_second <= 0:
        raise ConfigError("no passage was measured", fix="set deploy.smoke_texts to at least 2")
    contract, seconds = release.contract, chunks / passages_per_second
    return ReindexPlan(
        release=release.id,
        replaces=before,
        why="The vectors of two models cannot be compared: all passages have to be embedded again before queries "
        "are embedded by the new model.",
        model_name=release.model_name,
        base_model=contract.base_model,
        contract_hash=contract.hash,
        dimensions=contract.dimensions,
        similarity=contract.similarity,
        normalized=contract.normalize,
        input_type="passage",
        chunks=chunks,
        passages_per_second=round(passages_per_second, 2),
        estimated_seconds=round(seconds, 3),
        bytes_float32={size: chunks * size * FLOAT32 for size in contract.dimensions},
        command="embedtune reindex --dataset DIR --to vectors.parquet",
        steps=(
            "create a new collection: the old one keeps answering",
            "fill it from the Parquet file that the command writes (id, vector)",
            "switch queries to the new endpoint and the new collection at the same moment",
            "delete the old collection when you no longer need to go back to it",
        ),
    )
