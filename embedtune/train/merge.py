"""Part of the way back: weights between those of the base model and the tuned ones."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from embedtune.core.errors import ContractError
from embedtune.core.progress import Progress
from embedtune.core.records.training import SHARES

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def merge_into(tuned: "SentenceTransformer", base: "SentenceTransformer", base_share: float) -> None:
    """Replace each tuned weight by base_share · base + (1 - base_share) · tuned.

    Between two models of which one was tuned from the other the error is low all along the line, and on it lie
    models that keep more of what the base knows for little of what was learned (Wortsman et al. 2022,
    arXiv:2109.01903; for embedding models Xiao et al. 2023, arXiv:2311.13534).

    Args:
        tuned: A model of float32 weights; changed in place.
        base: The model that it was tuned from.
        base_share: The share of the base model's weights, from 0 to 1.

    Raises:
        ContractError: The models do not have the same weights.
    """
    ours, theirs = dict(tuned.named_parameters()), dict(base.named_parameters())
    if shapes(ours) != shapes(theirs):
        different = sorted({*shapes(ours).items()} ^ {*shapes(theirs).items()})
        raise ContractError(
            "the tuned model and its base do not have the same weights, so they cannot be merged",
            got=str(different[0]),
            expected="equal names and shapes",
            fix="set train.base_share=0",
        )
    with torch.no_grad():
        for name, weight in ours.items():
            weight.lerp_(theirs[name].to(weight), base_share)


def measure_shares(
    tuned: "SentenceTransformer",
    base: "SentenceTransformer",
    saved: float,
    measure: Callable[["SentenceTransformer"], float],
    progress: Progress,
) -> dict[float, float]:
    """Measure models between a tuned one and its base, so that readers see what the share that is saved does.

    Args:
        tuned: A model of float32 weights; it stays as it is.
        base: The model that it was tuned from.
        saved: The share that is saved, measured too.
        measure: Returns a figure of a model.
        progress: Updated once per model: each embeds the passages that checkpoints are ranked among.

    Returns:
        The figure for each share of the base model's weights, in ascending order.
    """
    model, reached, figures = copy.deepcopy(tuned), 0.0, {}
    shares = sorted({*SHARES, saved})
    with progress.task("measure between base and tuned on dev", len(shares), "models") as task:
        for share in shares:
            merge_into(model, base, (share - reached) / (1 - reached))
            reached = share
            figures[share] = measure(model)
            task.advance(1)
    return figures


def shapes(weights: dict[str, "torch.nn.Parameter"]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight."""
    return {name: tuple(weight.shape) for name, weight in weights.items()}
