"""Stage mine: find, for each train query, the passages that look right to the base model but are wrong."""

from pathlib import Path

from embedtune.core.artifacts import Figure, StageReport
from embedtune.core.config.mine import MineSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.precision import device_of
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.formatting import counted
from embedtune.core.progress import Progress
from embedtune.core.records.audit import AUDIT_FILE, Audit
from embedtune.core.records.base import write_record
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.mine.audit import check, check_short, describe
from embedtune.mine.mining_set import MiningSet, read_mining_set
from embedtune.mine.negatives import Mined, SearchOptions, mine_negatives
from embedtune.mine.triplets import triplet_rows, write_triplets


def run(dataset: Path, output: Path, context: Context) -> StageReport:
    """Mine hard negatives for the train queries, audit them and write them.

    Args:
        dataset: The dataset artifact.
        output: Directory to write the triplets artifact to.
        context: The configuration and everything else that the stage runs with.

    Raises:
        GateError: A score is not finite, a positive is among the negatives, or too many queries lack negatives.
    """
    this = StageRun("mine", output, context)
    return this.write(
        this.read(dataset=dataset), lambda path: mine_and_write(read_mining_set(dataset), path, context)
    )


def mine_and_write(data: MiningSet, path: Path, context: Context) -> Outcome:
    """Mine hard negatives for a mining set and write the files of a triplets artifact.

    Args:
        data: Train queries and the passages that train may see.
        path: Directory to write to.
        context: The configuration and everything else that the stage runs with.

    Raises:
        GateError: As for `run`.
    """
    config, cache = context.config, context.cache
    settings = config.mine
    base = resolve_base(config.contract, config.base, cache, config.storage, context.secrets)
    encoder = TorchEncoder(base, config.contract, config.runtime, cache / "embeddings", context.base_vectors)
    mined = mine(data, encoder, settings, device_of(config.runtime), context.progress)
    check_short(data, mined, settings)
    rows = triplet_rows(data, mined, settings.min_negatives)
    check(rows, settings.margin)
    audit = describe(data, mined, rows, settings, config.ingest)
    write_triplets(path, rows, data)
    write_record(path / AUDIT_FILE, audit)
    return _outcome(audit)


def mine(data: MiningSet, encoder: Encoder, settings: MineSettings, device: str, progress: Progress) -> Mined:
    """Encode and search.

    Args:
        data: Train queries and the passages that train may see.
        encoder: The base model.
        settings: Wanted negatives, margin and block.
        device: "cuda" or "cpu".
        progress: Updated while texts are encoded, and each time a query is finished.
    """
    problem = data.problem(encoder, progress)
    with progress.task("mine", len(data.queries), "queries") as task:
        return mine_negatives(
            problem,
            negatives=settings.negatives,
            margin=settings.margin,
            options=SearchOptions(block=settings.block, device=device),
            advance=task.advance,
        )


def _outcome(audit: Audit) -> Outcome:
    counts = {
        "queries": audit.queries,
        "rows": audit.rows,
        "complete": audit.complete,
        "short": audit.short,
        "dropped": audit.dropped,
    }
    metrics: dict[str, Figure] = {"mining_corpus": audit.mining_corpus, **counts}
    metrics |= {f"rejected_{reason}": count for reason, count in audit.rejected}
    for name, scores in (("positive", audit.positive_scores), ("negative", audit.negative_scores)):
        if scores.quantiles is not None:
            metrics[f"{name}_score_median"] = scores.quantiles.median
    notes = []
    if audit.negative_scores.quantiles is None:  # only where mine.min_negatives is 0
        notes.append(
            "no query has a negative: to the base model every other passage is as near as the right one, or there "
            f"are hardly any others ({AUDIT_FILE} says why they were rejected)"
        )
    if audit.dropped:
        dropped = counted(audit.dropped, "query", "queries")
        notes.append(f"left out for lack of negatives ({AUDIT_FILE} lists them): {dropped}")
    if found := audit.lexical_duplicates.found:
        notes.append(f"{found} negatives nearly repeat a positive word for word ({AUDIT_FILE} shows some)")
    return Outcome(counts, metrics, tuple(notes))
