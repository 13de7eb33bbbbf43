"""Stage evaluate: base, tuned, BM25, champion and endpoint on the same questions, with intervals and a verdict."""

import logging
from pathlib import Path

from embedtune.core.artifacts import MANIFEST, Artifact, StageReport, read_manifest
from embedtune.core.comparisons import CHAMPION_MODEL, Comparisons
from embedtune.core.config.config import Config
from embedtune.core.contract import EncoderContract, load_contract, require_same
from embedtune.core.encoders.precision import compute_of
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.records.base import write_record
from embedtune.core.records.evaluation import EXAMPLES_FILE, SLICES_FILE, VERDICT_FILE, Measured
from embedtune.core.records.metrics import METRICS_FILE
from embedtune.core.secrets import Secrets
from embedtune.core.stage import Context, Outcome, StageRun, require_same_precision
from embedtune.evaluate.champion import require_unchanged
from embedtune.evaluate.examples import examples_record
from embedtune.evaluate.form_metrics import form_metrics
from embedtune.evaluate.hybrid import hybrid_metrics
from embedtune.evaluate.intervals import Sampling
from embedtune.evaluate.lexical_leak import lexical_leak
from embedtune.evaluate.measure import measure, served
from embedtune.evaluate.result import differences
from embedtune.evaluate.seeds import seed_notes, with_spread
from embedtune.evaluate.sets import check_names, fingerprint
from embedtune.evaluate.sizes import size_metrics, size_notes
from embedtune.evaluate.slices import slices_record
from embedtune.evaluate.summary import Extras, metrics_record, notes, report_metrics, seen_notes, write_per_query
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
        ConfigError: evaluate.decide_on or guard_sets is not one of the evaluated sets.
        InputError: A set is empty, incomplete or damaged, or has questions that were trained on.
        ArtifactError: A file of the champion was changed.
        ContractError: The model was trained under a different encoder contract.
        EndpointError: The live endpoint does not answer.
        GateError: A system returns vectors that are not finite.
    """
    this = StageRun("evaluate", output, context)
    against = comparisons or Comparisons()
    config = context.config
    decided_on = deciding_set(config.evaluate, list(against.eval_sets))
    check_names(against.eval_sets)
    artifacts = this.read(dataset=dataset, model=model)
    require_same_precision("evaluate", config, artifacts)
    require_same(config.contract, load_contract(model), str(model))
    if against.champion is not None:
        require_unchanged(against.champion)
    inputs: dict[str, Artifact | str] = {**artifacts, **further_inputs(config, against, context.secrets)}
    return this.write(inputs, lambda path: _evaluate(dataset, model, path, context, against, decided_on))


def _evaluate(
    dataset: Path, model: Path, path: Path, context: Context, comparisons: Comparisons, decided_on: str
) -> Outcome:
    settings, seed = context.config.evaluate, context.config.seed
    sampling = Sampling.of(settings, seed)
    results, speed = measure(dataset, model, context, comparisons)
    against_base = with_spread(differences(results, "base", sampling), results, sampling.confidence)
    against_champion = None
    if comparisons.champion:
        against_champion = with_spread(differences(results, "champion", sampling), results, sampling.confidence)
    leak = next(lexical_leak(result) for result in results if result.name == decided_on)
    measured = _measured(context.config)
    verdict = verdict_record(
        against_base, against_champion, decided_on, sampling, measured, leak, settings.guard_sets
    )
    sizes = {result.name: size_metrics(result, sampling) for result in results}
    extras = {
        result.name: Extras(
            sizes[result.name],
            form_metrics(result, context.config.contract.dimensions[0], sampling),
            hybrid_metrics(result, sampling),
        )
        for result in results
    }
    write_record(path / METRICS_FILE, metrics_record(results, against_base, against_champion, extras))
    write_record(path / VERDICT_FILE, verdict)
    write_record(path / SLICES_FILE, slices_record(results, settings, seed))
    write_record(path / EXAMPLES_FILE, examples_record(results, settings.examples, seed))
    write_per_query(path / "per_query.parquet", results)
    remarks = notes(results, against_base, _champion_differs(context.config.contract, comparisons.champion))
    log.info("evaluate: %s, decided on %s", verdict.verdict, decided_on)
    return Outcome(
        {f"queries.{result.name}": len(result.data.queries) for result in results},
        {**report_metrics(results, against_base, verdict), **speed},
        (*seen_notes(results, settings, seed), *remarks, *seed_notes(results), *size_notes(results, sizes)),
    )


def _measured(config: Config) -> Measured:
    return Measured(
        precision=compute_of(config.runtime),
        attention=config.runtime.attention,
        dimension=config.contract.dimensions[0],
    )


def further_inputs(config: Config, comparisons: Comparisons, secrets: Secrets) -> dict[str, str]:
    """Return a fingerprint of each input of evaluate in addition to dataset and model, by name.

    Args:
        config: The whole configuration.
        comparisons: Additional sets, the champion and a live endpoint.
        secrets: Credentials for the endpoint.

    Raises:
        EndpointError: The live endpoint does not answer.
    """
    inputs = {}
    for position, (name, directory) in enumerate(comparisons.eval_sets.items(), 1):
        # The position is part of the key, since the first set decides.
        inputs[f"eval_set.{position}.{name}"] = fingerprint(directory, config.ingest)
    if comparisons.champion is not None:
        champion = comparisons.champion
        inputs["champion"] = TorchEncoder(champion, load_contract(champion), config.runtime).fingerprint
        if (champion / MANIFEST).is_file():
            inputs[CHAMPION_MODEL] = read_manifest(champion, "model").fingerprint
    if comparisons.endpoint is not None:
        # The identity of the served model, not its address, which may serve another release tomorrow.
        inputs["endpoint"] = served(comparisons.endpoint, config, secrets).fingerprint
    return inputs


def _champion_differs(contract: EncoderContract, champion: Path | None) -> bool:
    return champion is not None and load_contract(champion).passage_template != contract.passage_template
