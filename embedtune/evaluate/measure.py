"""Runs every system on every set, with one model in memory at a time."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.comparisons import SYNTHETIC, Comparisons
from embedtune.core.config.config import Config
from embedtune.core.contract import load_contract
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.precision import device_of
from embedtune.core.encoders.pytorch import MEASURABLE, TorchEncoder
from embedtune.core.encoders.remote import open_endpoint
from embedtune.core.encoders.speed import seconds_per_passage
from embedtune.core.errors import GateError
from embedtune.core.progress import Progress
from embedtune.core.records.evaluation import SPEED
from embedtune.core.records.metrics import OLD_INDEX
from embedtune.core.retrieval.beir import RetrievalSet
from embedtune.core.retrieval.forms import FULL, SEARCHED, Form
from embedtune.core.retrieval.passage_groups import group_of, search_depth
from embedtune.core.secrets import Secrets
from embedtune.core.stage import Context
from embedtune.evaluate.old_index import OldIndex, is_aligned
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.retrieve import Run, dense_runs, lexical_run
from embedtune.evaluate.scan_speed import scan_speeds
from embedtune.evaluate.seeds import seed_models
from embedtune.evaluate.sets import load_set, named
from embedtune.evaluate.unseen import require_unseen

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _System:
    """A system to measure, with the forms of vectors in addition to floats of the full size."""

    name: str
    encoder: Encoder
    forms: tuple[Form, ...] = ()


def measure(
    dataset: Path, model: Path, context: Context, comparisons: Comparisons
) -> tuple[list[SetResult], dict[str, float]]:
    """Run every system on every set, with one model in memory at a time.

    Returns:
        The results, and speeds as figures for the report: of the tuned model, for what re-indexing takes, and of
        searching each form of its vectors.
    """
    config = context.config
    cuts = tuple(sorted({*config.evaluate.k, 10}))
    device = device_of(config.runtime)
    paths = {SYNTHETIC: dataset} | comparisons.eval_sets
    sets = {name: load_set(name, path, config.ingest, context.progress) for name, path in paths.items()}
    require_unseen({name: sets[name] for name in comparisons.eval_sets}, dataset)
    depths = {name: search_depth(group_of(data.corpus), cuts[-1]) for name, data in sets.items()}
    found: dict[str, dict[Form, dict[str, Run]]] = {name: {FULL: {}} for name in sets}
    for name, data in sets.items():
        found[name][FULL]["bm25"] = lexical_run(data, depths[name])
    speed: dict[str, float] = {}
    for system in _systems(model, context, comparisons):
        for name, data in sets.items():
            log.info("evaluate: %s on %s, %d queries", system.name, name, len(data.queries))
            try:
                runs = dense_runs(
                    system.encoder, data, depths[name], device, context.progress, (FULL, *system.forms)
                )
            except GateError as error:
                raise named(name, system.name, error) from error
            for form, run in runs.items():
                found[name].setdefault(form, {})[system.name] = run
        if system.name == "tuned" and isinstance(system.encoder, TorchEncoder):
            speed = _speed(system.encoder, sets[SYNTHETIC], context.progress)
            speed |= scan_speeds(config.contract.dimensions[0], system.forms)
    return [_result(name, data, found[name], cuts) for name, data in sets.items()], speed


def _result(name: str, data: RetrievalSet, found: dict[Form, dict[str, Run]], cuts: tuple[int, ...]) -> SetResult:
    smaller = {
        form.size: SetResult(name, data, runs, cuts)
        for form, runs in found.items()
        if form.type == "float" and form.size is not None
    }
    coarser = {form: runs["tuned"] for form, runs in found.items() if form.type != "float"}
    return SetResult(name, data, found[FULL], cuts, smaller, coarser)


def _speed(encoder: TorchEncoder, data: RetrievalSet, progress: Progress) -> dict[str, float]:
    """Return how fast a model embeds passages; its vectors are usually in the cache, so some are made again."""
    if len(data.corpus) < MEASURABLE:
        return {}
    speed = encoder.passages_per_second
    if speed is None:
        texts = [passage.text for passage in data.corpus]
        speed = 1.0 / seconds_per_passage(encoder.path, encoder.contract, encoder.runtime, texts, progress)
    return {SPEED: round(speed, 2)}


def _systems(model: Path, context: Context, comparisons: Comparisons) -> Iterator[_System]:
    config, secrets, cache = context.config, context.secrets, context.cache
    vectors, contract = cache / "embeddings", config.contract
    base = resolve_base(contract, config.base, cache, config.storage, secrets)
    smaller = _floats(contract.dimensions[1:])
    untouched = TorchEncoder(base, contract, config.runtime, vectors, context.base_vectors)
    yield _System("base", untouched, smaller)
    yield _System(
        "tuned", TorchEncoder(model, contract, config.runtime, vectors), served_forms(contract.dimensions)
    )
    if is_aligned(model, base):
        # Their vectors are in the cache by now: neither model is loaded again.
        before = TorchEncoder(base, contract, config.runtime, vectors, context.base_vectors)
        yield _System(OLD_INDEX, OldIndex(TorchEncoder(model, contract, config.runtime, vectors), before))
    for name, other in seed_models(model).items():
        yield _System(name, TorchEncoder(other, contract, config.runtime, vectors))
    if comparisons.champion is not None:
        theirs = load_contract(comparisons.champion)
        champion = TorchEncoder(comparisons.champion, theirs, config.runtime, vectors)
        offered = [size for size in contract.dimensions[1:] if size in theirs.dimensions[1:]]
        yield _System("champion", champion, _floats(offered))
    if comparisons.endpoint is not None:
        # At the full size only: export's parity covers how an engine cuts vectors.
        yield _System("endpoint", served(comparisons.endpoint, config, secrets))


def served_forms(dimensions: Sequence[int]) -> tuple[Form, ...]:
    """Return the forms in which an endpoint serves vectors, but for floats of the full size.

    Args:
        dimensions: The sizes of the contract, the full one first.
    """
    sizes = (None, *dimensions[1:])
    return tuple(form for size in sizes for kind in SEARCHED if (form := Form(size, kind)) != FULL)


def _floats(sizes: Sequence[int]) -> tuple[Form, ...]:
    return tuple(Form(size) for size in sizes)


def served(url: str, config: Config, secrets: Secrets) -> Encoder:
    """Return the encoder of a live endpoint.

    Args:
        url: Its address.
        config: The contract and the name of the model.
        secrets: The key, if it asks for one.

    Raises:
        EndpointError: It does not answer.
    """
    return open_endpoint(url, config.contract, config.serve.model_name, secrets.endpoint_api_key)
