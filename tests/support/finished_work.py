"""A work directory whose artifacts are up to date for a configuration, without running any stage."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.artifacts import SCHEMAS, StageReport, read_manifest, write_artifact
from embedtune.core.comparisons import Comparisons
from embedtune.core.config.config import Config
from embedtune.core.progress import SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.core.stage import STAGES, stage_provenance
from embedtune.evaluate.stage import further_inputs as of_evaluate
from embedtune.generate.further_inputs import further_inputs as of_generate
from embedtune.ingest.sources import list_sources

FINISHED = STAGES[:6]  # up to evaluate, as a run does by default
SECONDS = {stage.name: 10.0 * number for number, stage in enumerate(FINISHED, 1)}


def make_finished_work(
    work: Path, documents: Path, config: Config, comparisons: Comparisons | None = None
) -> Path:
    """Write the artifacts of the stages up to evaluate; their files are empty except the list of documents."""
    for stage in FINISHED:
        inputs = {name: read_manifest(work / name, name).fingerprint for name in stage.inputs}
        if stage.name == "ingest":
            inputs["documents"] = list_sources(documents, config.ingest, SilentProgress()).fingerprint
        if stage.name == "generate":
            inputs |= of_generate(config)
        if stage.name == "evaluate":
            inputs |= of_evaluate(config, comparisons or Comparisons(), Secrets())
        provenance = stage_provenance(stage.name, config, inputs)
        with write_artifact(work / stage.artifact, stage.artifact, provenance) as draft:
            for name in SCHEMAS[stage.artifact].files:
                (draft.path / name).parent.mkdir(parents=True, exist_ok=True)
                (draft.path / name).write_text(stage.name)
            if stage.name == "ingest":
                _list_documents(draft.path, documents, config)
            draft.counts = {"rows": 7}
            draft.report = StageReport(stage.name, {}, (), SECONDS[stage.name])
    return work


def _list_documents(folder: Path, documents: Path, config: Config) -> None:
    found = list_sources(documents, config.ingest, SilentProgress()).sources
    rows = [{"path": source.name, "sha256": source.sha256} for source in found]
    pq.write_table(pa.Table.from_pylist(rows), folder / "documents.parquet")
    pq.write_table(pa.table({"path": pa.array([], pa.string())}), folder / "skipped.parquet")
