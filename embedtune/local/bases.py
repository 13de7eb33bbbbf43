"""Compares base models, untuned, on the same questions, before a day of training is spent on one of them."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from embedtune.core.comparisons import SYNTHETIC
from embedtune.core.config.base import BaseSettings
from embedtune.core.config.load import parse_config
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.precision import device_of
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.weights import parameters
from embedtune.core.errors import ConfigError
from embedtune.core.records.evaluation import Interval
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.core.retrieval.passage_groups import group_of, search_depth
from embedtune.core.stage import Context
from embedtune.evaluate.intervals import Sampling, paired_intervals
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.retrieve import Run, dense_run, lexical_run
from embedtune.evaluate.sets import check_names, load_set
from embedtune.local.encoding_speed import seconds_per_passage
from embedtune.local.own_contract import config_text

log = logging.getLogger(__name__)
CUT = 10
_PINNED = re.compile(r"^(.+)@([0-9a-f]{40})$")
BM25 = "bm25"


@dataclass(frozen=True)
class SetScore:
    """What a base model reaches on one set, and by how much that differs from the first base model."""

    metrics: Mapping[str, float]
    difference: Interval | None


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
    """The scores of a base model by evaluation set, or of BM25, which is no model."""

    name: str
    model: ModelFigures | None
    sets: Mapping[str, SetScore]


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
class _Candidate:
    name: str
    path: Path
    contract: EncoderContract


def compare_bases(names: Sequence[str], sets: Mapping[str, Path], context: Context) -> BakeOff:
    """Measure base models on sets; all are found and checked before the first is measured.

    Args:
        names: What `embedtune init --base` takes; a hub id may end in `@COMMIT`.
        sets: Directories in BEIR format by name; a dataset artifact is one, under the name `synthetic`.
        context: The configuration, of which the contract plays no part, and everything else.

    Raises:
        ConfigError: A base model is named twice, or none is.
        InputError: A base model or a set cannot be found or read.
        ContractError: A base model does what embedtune cannot do, or its commit is missing.
    """
    if not names or len(set(names)) < len(names):
        raise ConfigError(
            "no base model to compare" if not names else "a base model is named twice",
            got=", ".join(names) or "nothing",
            expected="--base MODEL, once for each base model",
        )
    check_names({name: path for name, path in sets.items() if name != SYNTHETIC})
    candidates = [_candidate(name, context) for name in names]
    results, seconds = _measure(candidates, sets, context)
    sampling = Sampling.of(context.config.evaluate, context.config.seed)
    scores = {name: _scores(results, name, names[0], sampling) for name in (BM25, *names)}
    return BakeOff(
        {result.name: len(result.data.queries) for result in results},
        {result.name: result.units.count for result in results},
        [
            BaseScore(BM25, None, scores[BM25]),
            *(BaseScore(one.name, _figures(one, seconds[one.name]), scores[one.name]) for one in candidates),
        ],
    )


def _measure(
    candidates: Sequence[_Candidate], sets: Mapping[str, Path], context: Context
) -> tuple[list[SetResult], dict[str, float]]:
    """Return the rankings by set, and the seconds per passage by base model; one model at a time is in memory."""
    config, progress = context.config, context.progress
    data = {name: load_set(name, path, config.ingest, progress) for name, path in sets.items()}
    depths = {name: search_depth(group_of(one.corpus), CUT) for name, one in data.items()}
    runs: dict[str, dict[str, Run]] = {name: {BM25: lexical_run(one, depths[name])} for name, one in data.items()}
    texts = [passage.text for one in data.values() for passage in one.corpus]
    seconds = {}
    for candidate in candidates:
        encoder = TorchEncoder(candidate.path, candidate.contract, config.runtime, context.cache / "embeddings")
        for name, one in data.items():
            log.info("%s on %s, %d questions", candidate.name, name, len(one.queries))
            runs[name][candidate.name] = dense_run(encoder, one, depths[name], device_of(config.runtime), progress)
        del encoder
        seconds[candidate.name] = seconds_per_passage(candidate.path, candidate.contract, config.runtime, texts)
    return [SetResult(name, one, runs[name], (CUT,)) for name, one in data.items()], seconds


def _candidate(name: str, context: Context) -> _Candidate:
    pinned = _PINNED.match(name)
    base, revision = (pinned[1], pinned[2]) if pinned else (name, None)
    own = parse_config(yaml.safe_load(config_text("minilm", base, revision, context.secrets)))
    path = resolve_base(own.contract, BaseSettings(), context.cache, context.config.storage, context.secrets)
    return _Candidate(name, path, own.contract)


def _scores(results: Sequence[SetResult], system: str, first: str, sampling: Sampling) -> dict[str, SetScore]:
    scores = {}
    for result in results:
        difference = None
        if system != first:
            rows, others = result.rows(system), result.rows(first)
            difference = paired_intervals(rows, others, result.units, sampling)[DECIDING_METRIC]
        scores[result.name] = SetScore(result.means(system), difference)
    return scores


def _figures(one: _Candidate, seconds: float) -> ModelFigures:
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
