"""Trains each base model of a comparison on the same questions, so that tuned can be compared with untuned."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from embedtune.core.config.base import BaseSettings
from embedtune.core.config.config import Config
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.precision import device_of
from embedtune.core.errors import EmbedtuneError
from embedtune.core.formatting import duration
from embedtune.core.retrieval.beir import RetrievalSet, read_qrels
from embedtune.core.stage import Context
from embedtune.local.curve.cost import dev_passages
from embedtune.local.estimate import QUERY_SHARE
from embedtune.mine import stage as mine
from embedtune.split.labelled import import_labelled
from embedtune.train import stage as train
from embedtune.train.plan import plan_training
from embedtune.train.probe import measure_step_seconds

BASES_FOLDER = "bases"  # in the work directory


@dataclass(frozen=True)
class Candidate:
    """A base model of a comparison.

    Args:
        name: As the user named it.
        path: Its files.
        contract: How it makes vectors.
    """

    name: str
    path: Path
    contract: EncoderContract

    def config(self, config: Config) -> Config:
        """Return a configuration that trains this base model once."""
        settings = config.train.model_copy(update={"seeds": 1})
        parts = {"contract": self.contract, "base": BaseSettings(), "train": settings}
        return Config.model_validate(config.model_copy(update=parts).model_dump())


@dataclass(frozen=True)
class TuningCost:
    """What training every candidate takes on this machine, at most: finished trainings are not repeated."""

    trainings: int
    train_seconds: float
    embed_seconds: float
    device: str

    def __str__(self) -> str:
        total = duration(self.train_seconds + self.embed_seconds)
        models = f"{self.trainings} base {'model' if self.trainings == 1 else 'models'}"
        parts = f"{duration(self.train_seconds)} to train, {duration(self.embed_seconds)} to embed"
        return f"{models} to train: at most about {total} on {self.device} ({parts}; measured now)"


def tuning_cost(
    candidates: Sequence[Candidate],
    per_passage: Mapping[str, float],
    dataset: Path,
    sets: Sequence[RetrievalSet],
    context: Context,
) -> TuningCost:
    """Measure a few training rows of each candidate.

    Args:
        candidates: The base models.
        per_passage: Seconds that each takes to embed a passage, by name.
        dataset: The dataset artifact to train on.
        sets: What the tuned models are measured on; the first has the corpus of the dataset.
        context: How they are trained, and what says what is waited for.
    """
    config = context.config
    rows = sum(len(judged) for judged in read_qrels(dataset / "qrels" / "train.tsv").values())
    passages = dev_passages(dataset, config.train, len(sets[0].corpus))
    passages += sum(len(one.corpus) + QUERY_SHARE * len(one.queries) for one in sets)
    trained = 0.0
    for one in candidates:
        own = one.config(config)
        steps = plan_training(rows, own.train, own.seed).steps
        trained += steps * measure_step_seconds(one.path, own, rows, context.progress)
    embedded = passages * sum(per_passage[one.name] for one in candidates)
    return TuningCost(len(candidates), trained, embedded, device_of(config.runtime))


def tuned_model(one: Candidate, dataset: Path, work: Path, context: Context) -> Path:
    """Return the model of a candidate, trained on a dataset; it is kept in the work directory.

    Args:
        one: The base model.
        dataset: A dataset artifact, which may have been made for another base model.
        work: The work directory.
        context: The configuration, of which the contract plays no part, and everything else.

    Raises:
        EmbedtuneError: As for mine and train; the error names the base model.
    """
    digest = hashlib.sha256(f"{one.name} {one.contract.hash}".encode()).hexdigest()[:12]
    folder = work / BASES_FOLDER / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', one.name).strip('-.')[-40:]}-{digest}"
    own = replace(context, config=one.config(context.config))
    try:
        import_labelled(dataset, folder / "dataset", own)
        mine.run(folder / "dataset", folder / "triplets", own)
        train.run(folder / "triplets", folder / "dataset", folder / "model", own)
    except EmbedtuneError as error:
        raise type(error)(
            f"{one.name}: {error.what}", got=error.got, expected=error.expected, fix=error.fix
        ) from error
    return folder / "model"
