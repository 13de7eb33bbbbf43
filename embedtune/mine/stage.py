"""Stage mine: for each train query the passages that look right to the base model and are surely wrong."""

import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.artifacts import StageReport, read_artifact, write_artifact
from embedtune.core.config.config import Config
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.pytorch import TorchEncoder, device_of
from embedtune.core.progress import Progress
from embedtune.core.secrets import Secrets
from embedtune.core.stage import finished, stage_provenance
from embedtune.mine.audit import check, check_short, describe
from embedtune.mine.corpus import Source, read_source
from embedtune.mine.negatives import Mined, SearchPlan, mine_negatives
from embedtune.mine.triplets import SCHEMA, triplet_rows


def run(
    dataset: Path, output: Path, config: Config, progress: Progress, secrets: Secrets, cache: Path
) -> StageReport:
    """Mine hard negatives for the train queries, audit them and write them.

    Args:
        dataset: What split or bring wrote.
        output: Where the triplets artifact shall stand.
        config: The configuration.
        progress: Where the stage reports.
        secrets: Credentials, if the base model stands in an object store.
        cache: Holds vectors between runs.

    Raises:
        GateError: A score is not finite, a positive is among the negatives, or too many queries lack negatives.
    """
    started = time.monotonic()
    artifact = read_artifact(dataset, "dataset")
    provenance = stage_provenance("mine", config, {"dataset": artifact.fingerprint})
    if stored := finished(output, "triplets", provenance):
        return stored
    base = resolve_base(config.contract, cache, config.storage, secrets)
    encoder = TorchEncoder(base, config.contract, config.runtime, cache / "embeddings")
    source = read_source(dataset)
    mined = mine(source, encoder, config, progress)
    check_short(source, mined, config)
    rows = triplet_rows(source, mined, config.mine.min_negatives)
    check(rows, config.mine.margin)
    audit = describe(source, mined, rows, config)
    with write_artifact(output, "triplets", provenance) as draft:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), draft.path / "triplets.parquet")
        (draft.path / "audit.json").write_text(json.dumps(audit, indent=2, ensure_ascii=False) + "\n")
        draft.counts = {name: audit[name] for name in ("queries", "rows", "complete", "short", "dropped")}
        draft.report = _report(audit, time.monotonic() - started)
    return draft.report


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


def _report(audit: dict[str, Any], seconds: float) -> StageReport:
    metrics: dict[str, float | int | str] = {
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
    return StageReport("mine", metrics, tuple(notes), seconds)
