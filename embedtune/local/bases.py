"""Compares base models on the same questions, untuned or tuned too, before a day is spent on one of them."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from embedtune.core.comparisons import SYNTHETIC
from embedtune.core.config.base import BaseSettings
from embedtune.core.config.load import parse_config
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.precision import device_of
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.speed import seconds_per_passage
from embedtune.core.encoders.weights import parameters
from embedtune.core.errors import ConfigError
from embedtune.core.records.evaluation import Interval
from embedtune.core.retrieval.beir import RetrievalSet
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.core.retrieval.passage_groups import group_of, search_depth
from embedtune.core.stage import Context
from embedtune.evaluate.intervals import Sampling, paired_intervals
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.retrieve import Run, dense_run, lexical_run
from embedtune.evaluate.sets import check_names, load_set
from embedtune.evaluate.unseen import require_unseen
from embedtune.local.own_contract import config_text
from embedtune.local.tuned_bases import Candidate, tuned_model, tuning_cost

log = logging.getLogger(__name__)
CUT = 10
_PINNED = re.compile(r"^(.+)@([0-9a-f]{40})$")
BM25 = "bm25"


@dataclass(frozen=True)
class SetScore:
    """What a model reaches on one set.

    Args:
        metrics: Means over the questions by metric.
        difference: By how much nDCG@10 differs from the first base model, untuned; None for that model.
        gain: By how much nDCG@10 differs from the same base model, untuned; None for an untuned one.
    """

    metrics: Mapping[str, float]
    difference: Interval | None
    gain: Interval | None = None


@dataclass(frozen=True)
class ModelFigures:
    """What a base model is.

    Args:
        parameters: Number of weights.
        dimension: Numbers in a vector.
        max_length: Tokens that it reads of a text.
        licence: What its model card says.
        seconds_per_passage: Measured on this machine.
    """

    parameters: int
    dimension: int
    max_length: int
    licence: str | None
    seconds_per_passage: float


@dataclass(frozen=True)
class BaseScore:
    """The scores of a base model.

    Args:
        name: As the user named it, or `bm25`.
        model: What it is; None for BM25, which is no model.
        sets: Its scores as it is, by evaluation set.
        tuned: Its scores after training, by evaluation set; empty if it was not trained.
    """

    name: str
    model: ModelFigures | None
    sets: Mapping[str, SetScore]
    tuned: Mapping[str, SetScore] = field(default_factory=dict)


@dataclass(frozen=True)
class BakeOff:
    """The result of a comparison.

    Args:
        questions: Number of questions by evaluation set.
        families: Number of document families that they belong to, by evaluation set.
        scores: BM25, then the base models in the given order.
    """

    questions: Mapping[str, int]
    families: Mapping[str, int]
    scores: Sequence[BaseScore]


@dataclass(frozen=True)
class Training:
    """What base models are trained on before they are compared.

    Args:
        dataset: A dataset artifact.
        work: The work directory, which keeps the tuned models.
    """

    dataset: Path
    work: Path


def compare_bases(
    names: Sequence[str], sets: Mapping[str, Path], context: Context, training: Training | None = None
) -> BakeOff:
    """Measure base models on sets; all are found and checked before the first is measured.

    Args:
        names: What `embedtune init --base` takes; a hub id may end in `@COMMIT`.
        sets: Directories in BEIR format by name; a dataset artifact is one, under the name `synthetic`.
        context: The configuration, of which the contract plays no part, and everything else.
        training: Train each of them too. What that takes is logged before the first training.

    Raises:
        ConfigError: A base model is named twice, or none is.
        InputError: A base model or a set cannot be found or read, or training has seen questions of a set.
        ContractError: A base model does what embedtune cannot do, or its commit is missing.
        GateError: There is nothing to train on.
    """
    if not names or len(set(names)) < len(names):
        raise ConfigError(
            "no base model to compare" if not names else "a base model is named twice",
            got=", ".join(names) or "nothing",
            expected="--base MODEL, once for each base model",
        )
    check_names({name: path for name, path in sets.items() if name != SYNTHETIC})
    candidates = [_candidate(name, context) for name in names]
    data = {name: load_set(name, path, context.config.ingest, context.progress) for name, path in sets.items()}
    if training is not None:
        require_unseen({name: one for name, one in data.items() if name != SYNTHETIC}, training.dataset)
    depths = {name: search_depth(group_of(one.corpus), CUT) for name, one in data.items()}
    measured = _Measured(
        data, depths, {name: {BM25: lexical_run(one, depths[name])} for name, one in data.items()}
    )
    seconds = _measure_untuned(candidates, measured, context)
    if training is not None:
        cost = tuning_cost(candidates, seconds, training.dataset, list(data.values()), context)
        log.info("%s", cost)
        for one in candidates:
            model = tuned_model(one, training.dataset, training.work, context)
            measured.add(_tuned(one.name), model, one.contract, context)
    results = [SetResult(name, one, measured.runs[name], (CUT,)) for name, one in data.items()]
    return _bake_off(candidates, results, seconds, Sampling.of(context.config.evaluate, context.config.seed))


@dataclass(frozen=True)
class _Measured:
    """The rankings of each model by set; one model at a time is in memory."""

    data: Mapping[str, RetrievalSet]
    depths: Mapping[str, int]
    runs: Mapping[str, dict[str, Run]]

    def add(self, system: str, path: Path, contract: EncoderContract, context: Context) -> None:
        runtime = context.config.runtime
        encoder = TorchEncoder(path, contract, runtime, context.cache / "embeddings")
        for name, one in self.data.items():
            log.info("%s on %s, %d questions", system, name, len(one.queries))
            self.runs[name][system] = dense_run(
                encoder, one, self.depths[name], device_of(runtime), context.progress
            )


def _measure_untuned(candidates: Sequence[Candidate], measured: _Measured, context: Context) -> dict[str, float]:
    """Rank with each base model as it is; return its seconds per passage, by name."""
    texts = [passage.text for one in measured.data.values() for passage in one.corpus]
    seconds = {}
    for one in candidates:
        measured.add(one.name, one.path, one.contract, context)
        runtime, progress = context.config.runtime, context.progress
        seconds[one.name] = seconds_per_passage(one.path, one.contract, runtime, texts, progress)
    return seconds


def _bake_off(
    candidates: Sequence[Candidate],
    results: Sequence[SetResult],
    seconds: Mapping[str, float],
    sampling: Sampling,
) -> BakeOff:
    first = candidates[0].name
    scores = [BaseScore(BM25, None, _scores(results, BM25, first, sampling))]
    for one in candidates:
        trained = _tuned(one.name) in results[0].runs
        scores.append(
            BaseScore(
                one.name,
                _figures(one, seconds[one.name]),
                _scores(results, one.name, first, sampling),
                _scores(results, _tuned(one.name), first, sampling, one.name) if trained else {},
            )
        )
    return BakeOff(
        {result.name: len(result.data.queries) for result in results},
        {result.name: result.units.count for result in results},
        scores,
    )


def _tuned(name: str) -> str:
    return f"{name}, tuned"


def _candidate(name: str, context: Context) -> Candidate:
    pinned = _PINNED.match(name)
    base, revision = (pinned[1], pinned[2]) if pinned else (name, None)
    own = parse_config(yaml.safe_load(config_text("minilm", base, revision, context.secrets)))
    path = resolve_base(own.contract, BaseSettings(), context.cache, context.config.storage, context.secrets)
    return Candidate(name, path, own.contract)


def _scores(
    results: Sequence[SetResult], system: str, first: str, sampling: Sampling, untuned: str | None = None
) -> dict[str, SetScore]:
    """Return the scores of a system by set, compared with the first base model and with the untuned one."""

    def difference(result: SetResult, other: str | None) -> Interval | None:
        if other is None or other == system:
            return None
        return paired_intervals(result.rows(system), result.rows(other), result.units, sampling)[DECIDING_METRIC]

    return {
        result.name: SetScore(result.means(system), difference(result, first), difference(result, untuned))
        for result in results
    }


def _figures(one: Candidate, seconds: float) -> ModelFigures:
    return ModelFigures(
        parameters=parameters(one.path),
        dimension=one.contract.dimensions[0],
        max_length=one.contract.max_length,
        licence=_licence(one.path),
        seconds_per_passage=seconds,
    )


def _licence(path: Path) -> str | None:
    """Return the licence in the metadata of a model card."""
    card = path / "README.md"
    if not card.is_file():
        return None
    from huggingface_hub import ModelCard

    try:
        licence = ModelCard.load(card, ignore_metadata_errors=True).data.license
    except (
        ValueError,
        yaml.YAMLError,
    ) as error:  # the model is none the worse for it
        log.warning("%s: its metadata cannot be read: %s", card, error)
        return None
    return licence if isinstance(licence, str) else None
