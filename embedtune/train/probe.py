"""Measures the time of an optimiser step on this machine with a few rows, for `embedtune estimate`."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embedtune.core.config.config import Config
from embedtune.core.encoders.precision import autocast, device_of
from embedtune.core.progress import Progress
from embedtune.train.plan import effective_batch_size, plan_training
from embedtune.train.rows import TrainingRow

QUERY_WORDS = 12  # a typical question
PIECES = 4  # gradient caching encodes all pieces but the last twice: with four, that share is realistic
_WORDS = ("valve", "pressure", "operator", "checks", "the", "outlet", "temperature", "before", "restart", "of")


def measure_step_seconds(base: Path, config: Config, rows: int, progress: Progress) -> float:
    """Return the seconds per optimiser step, from one timed part of a step on synthetic texts.

    The time is proportional to the rows, so a few rows are timed (after a warm-up) and the result is scaled. The
    passages are as long as the mean of `ingest.min_words` and `ingest.max_words`.

    Args:
        base: Directory of the base model.
        config: Loss, batch, length, device and precision.
        rows: Expected number of training rows; it decides the batch size.
        progress: Says what is waited for.
    """
    import torch

    from embedtune.train.fit import build_collator, build_loss
    from embedtune.train.model import trainable_model

    settings = config.train
    batch_size = effective_batch_size(settings.batch_size, rows)
    parts = 1 if settings.loss == "own_negatives" else PIECES
    timed = min(batch_size, parts * settings.micro_batch_size)
    device = device_of(config.runtime)
    model = trainable_model(base, config, config.seed).train()
    loss = build_loss(model, plan_training(rows, settings, config.seed), settings, config.contract)
    words = (config.ingest.min_words + config.ingest.max_words) // 2
    soft = no_labels if settings.loss == "hybrid" else None
    collate = build_collator(model, settings, config.contract, soft)
    batch = collate(_synthetic_rows(timed, settings.negatives, words))
    features = [_features(batch, name, device) for name in ("query_", "passage_")]
    labels = {name: value.to(device) for name, value in batch["label"].items()}
    seconds = 0.0
    with progress.task("measure the speed", 2, "parts of steps") as task:
        for _ in ("warm-up", "timed"):
            started = time.perf_counter()
            with autocast(config.runtime):
                value = loss(features, labels)
            value.backward()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - started
            task.advance(1)
    return seconds * batch_size / timed


def no_labels(queries: Sequence[str], passages: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return soft labels that say nothing; to compute real ones takes far less time than a step."""
    return np.zeros((len(queries), len(passages)), dtype=np.float32)


def _synthetic_rows(count: int, negatives: int, words: int) -> list[TrainingRow]:
    """Make rows whose texts differ, since equal passages would be encoded only once."""
    return [
        {
            "query": _text(QUERY_WORDS, f"{row}"),
            "positive": _text(words, f"{row}"),
            "group_id": f"{row}",
            "positive_groups": [],
            "negatives": [_text(words, f"{row} {number}") for number in range(negatives)],
            "negative_groups": [f"{row} {number}" for number in range(negatives)],
            "weight": 1.0,
        }
        for row in range(count)
    ]


def _text(words: int, start: str) -> str:
    return " ".join([start, *(_WORDS[i % len(_WORDS)] for i in range(words))])


def _features(batch: dict[str, object], prefix: str, device: str) -> dict[str, object]:
    import torch

    return {
        name.removeprefix(prefix): value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
        if name.startswith(prefix)
    }
