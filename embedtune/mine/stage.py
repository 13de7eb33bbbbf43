"""Stage mine: for each train query the passages that look right to the base model and are surely wrong."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.artifacts import Figure, StageReport
from embedtune.core.config.config import Config
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.pytorch import TorchEncoder, device_of
from embedtune.core.progress import Progress
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.mine.audit import check, check_short, describe
from embedtune.mine.corpus import Source, read_source
from embedtune.mine.negatives import Mined, SearchPlan, mine_negatives
from embedtune.mine.triplets import SCHEMA, triplet_rows


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
    return this.write(this.read(dataset=dataset), lambda path: _mine(dataset, path, context))


def _mine(dataset: Path, path: Path, context: Context) -> Outcome:
    config, cache = context.config, context.cache
    base = resolve_base(config.contract, cache, config.storage, context.secrets)
    encoder = TorchEncoder(base, config.contract, config.runtime, cache / "embeddings")
    source = read_source(dataset)
    mined = mine(source, encoder, config, context.progress)
    check_short(source, mined, config)
    rows = triplet_rows(source, mined, config.mine.min_negatives)
    check(rows, config.mine.margin)
    audit = describe(source, mined, rows, config)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path / "triplets.parquet")
    (path / "audit.json").write_text(json.dumps(audit, indent=2, ensure_ascii=False) + "\n")
    return _outcome(audit)


def mine(source: Source, encoder: Encoder, config: Config, progress: Progress) -> Mined:
    """Encode and search.

    Args:
        source: Train queries and the passages that train may see.
        encoder: The base model.
        config: Wanted negatives, margin, block and device.
        progress: Where the work is reported.
    """
    problem = source.problem(encoder, progress)
    with progress.task("mine", len(source.queries), "queries") as task:
        return mine_negatives(
            problem,
            negatives=config.mine.negatives,
            margin=config.mine.margin,
            plan=SearchPlan(block=config.mine.block, device=device_of(config.runtime)),
            advance=task.advance,
        )


def _outcome(audit: dict[str, Any]) -> Outcome:
    metrics: dict[str, Figure] = {
        name: audit[name] for name in ("mining_corpus", "queries", "rows", "complete", "short", "dropped")
    }
    metrics |= {f"rejected_{reason}": count for reason, count in audit["rejected"].items()}
    metrics["positive_score_median"] = audit["positive_scores"]["quantiles"]["0.5"]
    metrics["negative_score_median"] = audit["negative_scores"]["quantiles"]["0.5"]
    notes = []
    if audit["dropped"]:
        notes.append(
            f"{audit['dropped']} queries found too few negatives and were left out (audit.json lists them)"
        )
    if found := audit["lexical_duplicates"]["found"]:
        notes.append(f"{found} negatives nearly repeat a positive word for word (audit.json shows some)")
    counts = {name: audit[name] for name in ("queries", "rows", "complete", "short", "dropped")}
    return Outcome(counts, metrics, tuple(notes))
