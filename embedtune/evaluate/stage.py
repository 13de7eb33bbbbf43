"""Stage evaluate: base, tuned, BM25, champion and endpoint on the same questions, with intervals and a verdict."""

import logging
from collections.abc import Iterator
from pathlib import Path

from embedtune.core.artifacts import Artifact, StageReport
from embedtune.core.comparisons import SYNTHETIC, Comparisons
from embedtune.core.config.config import Config
from embedtune.core.contract import EncoderContract, load_contract, require_same
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.pytorch import TorchEncoder, device_of
from embedtune.core.encoders.remote import open_endpoint
from embedtune.core.errors import GateError
from embedtune.core.records.base import write_record
from embedtune.core.records.evaluation import EXAMPLES_FILE, METRICS_FILE, SLICES_FILE, VERDICT_FILE
from embedtune.core.secrets import Secrets
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.evaluate.examples import examples_record
from embedtune.evaluate.lexical_leak import lexical_leak
from embedtune.evaluate.result import SetResult, differences
from embedtune.evaluate.retrieve import dense_run, lexical_run
from embedtune.evaluate.sets import check_names, fingerprint, load_set, named
from embedtune.evaluate.slices import slices_record
from embedtune.evaluate.summary import metrics_record, notes, report_metrics, seen_notes, write_per_query
from embedtune.evaluate.verdict import deciding_set, verdict_record

log = logging.getLogger(__name__)


def run(
    dataset: Path, model: Path, output: Path, context: Context, comparisons: Comparisons | None = None
) -> StageReport:
    """Measure all systems on all sets and write the evaluation artifact.

    Args:
        dataset: The dataset artifact; its test split is the set "synthetic".
        model: The model artifact.
        output: Directory to write the evaluation artifact to.
        context: The configuration and everything else that the stage runs with.
        comparisons: Additional sets, the champion and a live endpoint; none by default.

    Raises:
        ConfigError: evaluate.decide_on is not one of the evaluated sets.
        InputError: A set is empty, incomplete or damaged.
        ContractError: The model was trained under a different encoder contract.
        EndpointError: The live endpoint does not answer.
        GateError: A system returns vectors that are not finite.
    """
    this = StageRun("evaluate", output, context)
    against = comparisons or Comparisons()
    config = context.config
    decided_on = deciding_set(config.evaluate.decide_on, list(against.eval_sets))
    check_names(against.eval_sets)
    artifacts = this.read(dataset=dataset, model=model)
    require_same(config.contract, load_contract(model), str(model))
    inputs: dict[str, Artifact | str] = {**artifacts, **_further_inputs(config, against, context.secrets)}
    return this.write(inputs, lambda path: _evaluate(dataset, model, path, context, against, decided_on))


def _evaluate(
    dataset: Path, model: Path, path: Path, context: Context, comparisons: Comparisons, decided_on: str
) -> Outcome:
    settings, seed = context.config.evaluate, context.config.seed
    results = _measure(dataset, model, context, comparisons)
    against_base = differences(results, "base", settings, seed)
    against_champion = differences(results, "champion", settings, seed) if comparisons.champion else None
    leak = next(lexical_leak(result) for result in results if result.name == decided_on)
    verdict = verdict_record(against_base, against_champion, decided_on, settings.confidence, leak)
    write_record(path / METRICS_FILE, metrics_record(results, against_base, against_champion))
    write_record(path / VERDICT_FILE, verdict)
    write_record(path / SLICES_FILE, slices_record(results, settings, seed))
    write_record(path / EXAMPLES_FILE, examples_record(results, settings.examples))
    write_per_query(path / "per_query.parquet", results)
    remarks = notes(results, against_base, _champion_differs(context.config.contract, comparisons.champion))
    log.info("evaluate: %s, decided on %s", verdict.verdict, decided_on)
    return Outcome(
        {f"queries.{result.name}": len(result.data.queries) for result in results},
        report_metrics(results, against_base, verdict),
        (*seen_notes(results, settings, seed), *remarks),
    )


def _further_inputs(config: Config, comparisons: Comparisons, secrets: Secrets) -> dict[str, str]:
    inputs = {}
    for position, (name, directory) in enumerate(comparisons.eval_sets.items(), 1):
        # The position is part of the key, since the first set decides.
        inputs[f"eval_set.{position}.{name}"] = fingerprint(directory)
    if comparisons.champion is not None:
        champion = comparisons.champion
        inputs["champion"] = TorchEncoder(champion, load_contract(champion), config.runtime).fingerprint
    if comparisons.endpoint is not None:
        # The identity of the served model, not its address, which may serve another release tomorrow.
        inputs["endpoint"] = _endpoint(comparisons.endpoint, config, secrets).fingerprint
    return inputs


def _measure(dataset: Path, model: Path, context: Context, comparisons: Comparisons) -> list[SetResult]:
    """Run every system on every set, with one model in memory at a time."""
    config = context.config
    cuts = tuple(sorted({*config.evaluate.k, 10}))
    depth, device = cuts[-1], device_of(config.runtime)
    sets = {name: load_set(name, path) for name, path in ({SYNTHETIC: dataset} | comparisons.eval_sets).items()}
    runs = {name: {"bm25": lexical_run(data, depth)} for name, data in sets.items()}
    for system, encoder in _encoders(model, context, comparisons):
        for name, data in sets.items():
            log.info("evaluate: %s on %s, %d queries", system, name, len(data.queries))
            try:
                runs[name][system] = dense_run(encoder, data, depth, device, context.progress)
            except GateError as error:
                raise named(name, system, error) from error
    return [SetResult(name, data, runs[name], cuts) for name, data in sets.items()]


def _encoders(model: Path, context: Context, comparisons: Comparisons) -> Iterator[tuple[str, Encoder]]:
    config, secrets, cache = context.config, context.secrets, context.cache
    vectors, contract = cache / "embeddings", config.contract
    base = resolve_base(contract, config.base, cache, config.storage, secrets)
    yield "base", TorchEncoder(base, contract, config.runtime, vectors)
    yield "tuned", TorchEncoder(model, contract, config.runtime, vectors)
    if comparisons.champion is not None:
        champion = comparisons.champion
        yield "champion", TorchEncoder(champion, load_contract(champion), config.runtime, vectors)
    if comparisons.endpoint is not None:
        yield "endpoint", _endpoint(comparisons.endpoint, config, secrets)


def _endpoint(url: str, config: Config, secrets: Secrets) -> Encoder:
    return open_endpoint(url, config.contract, config.serve.model_name, secrets.endpoint_api_key)


def _champion_differs(contract: EncoderContract, champion: Path | None) -> bool:
    return champion is not None and load_contract(champion).passage_template != contract.passage_template
