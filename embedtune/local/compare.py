"""Compares the evaluations of several work directories, question by question."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from embedtune.core.artifacts import Manifest, read_artifact, read_manifest
from embedtune.core.comparisons import SYNTHETIC
from embedtune.core.config.evaluate import EvaluateSettings
from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.core.stage import STAGES
from embedtune.evaluate.intervals import Sampling, Units, paired_intervals
from embedtune.report.comparison import NOT_KNOWN, ComparedSet, Comparison, SettingRow, WorkFigures
from embedtune.report.metric_rows import HEADLINES

PER_QUERY = "per_query.parquet"
SIZES = {  # counts of an artifact that say how much there was to learn from
    "chunks": ("documents", "chunks"),
    "questions": ("questions",),
    "dataset": ("train_queries", "test_queries"),
    "triplets": ("rows",),
}
NO_SETTINGS = {"evaluate.examples", "evaluate.slice_by", "evaluate.k"}  # what is shown, not what is measured
Key = tuple[str, str]  # id and text of a question: an edited question is another one
Metrics = dict[str, float]


@dataclass(frozen=True)
class Measured:
    """One work directory, as it was measured.

    Args:
        name: Its name in the comparison.
        path: Where it is.
        manifests: The manifest of each artifact.
        values: The metrics of each question, by set, system and question.
        families: The document families of each question, by set and question.
    """

    name: str
    path: Path
    manifests: dict[str, Manifest]
    values: dict[str, dict[str, dict[Key, Metrics]]]
    families: dict[str, dict[Key, list[str]]]


def compare_works(paths: Sequence[Path]) -> Comparison:
    """Compare the tuned models of work directories on the questions that all of them were measured on.

    Args:
        paths: At least two work directories with an evaluation; the others are compared with the first.

    Raises:
        InputError: There are fewer than two.
        ArtifactError: An evaluation is missing, damaged, or of an earlier version.
    """
    if len(paths) < 2:
        raise InputError(
            "there is nothing to compare", got=f"{len(paths)} work directory", expected="at least two"
        )
    works = [_measured(name, path) for name, path in zip(_names(paths), paths, strict=True)]
    manifest = works[0].manifests["evaluation"]
    settings = EvaluateSettings.model_validate(manifest.settings["evaluate"])
    sampling = Sampling.of(settings, manifest.seed)
    remarks: list[str] = []
    sets = [_compared(name, works, sampling, remarks) for name in works[0].values]
    return Comparison(
        names=tuple(work.name for work in works),
        paths=tuple(str(path) for path in paths),
        settings=tuple(_settings(works)),
        sets=tuple(entry for entry in sets if entry is not None),
        confidence=sampling.confidence,
        remarks=(*remarks, *_other_code(works)),
    )


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the last part of each path, or the whole path where that is not unique."""
    names = [path.resolve().name for path in paths]
    return [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]


def _measured(name: str, path: Path) -> Measured:
    evaluation = read_artifact(path / "evaluation", "evaluation")
    manifests = {}
    for stage in STAGES:
        try:
            manifests[stage.artifact] = read_manifest(path / stage.artifact, stage.artifact)
        except ArtifactError:
            continue  # only the evaluation is needed
    table = pq.read_table(evaluation.path / PER_QUERY)
    if "families" not in table.column_names:
        raise ArtifactError(
            f"the evaluation in {path} does not say which documents its questions are about",
            fix="an earlier version of embedtune wrote it: run `embedtune run` or `embedtune evaluate` again",
        )
    metrics = [column for column in table.column_names if "@" in column]
    values: dict[str, dict[str, dict[Key, Metrics]]] = {}
    families: dict[str, dict[Key, list[str]]] = {}
    for row in table.to_pylist():
        key = (row["query_id"], row["query"])
        found = values.setdefault(row["set"], {}).setdefault(row["system"], {})
        found[key] = {metric: row[metric] for metric in metrics}
        families.setdefault(row["set"], {})[key] = row["families"]
    return Measured(name, path, manifests, values, families)


def _compared(name: str, works: Sequence[Measured], sampling: Sampling, remarks: list[str]) -> ComparedSet | None:
    """Compare the works on one set, or say in `remarks` why that is not possible."""
    lacking = [work.name for work in works if name not in work.values]
    if lacking:
        remarks.append(f"{name}: not compared, since {', '.join(lacking)} was not measured on it")
        return None
    common = [key for key in works[0].families[name] if all(key in work.families[name] for work in works)]
    if not common:
        remarks.append(
            f"{name}: not compared, since they have no question in common; measure all of them on one set of your "
            "questions with --eval-set"
        )
        return None
    remarks += _differing_set(name, works, len(common))
    metrics = [
        metric for metric in HEADLINES if all(metric in work.values[name]["tuned"][common[0]] for work in works)
    ]
    units = Units([works[0].families[name][key] for key in common])
    first = _rows(works[0], name, "tuned", common, metrics)
    figures = [_figures(work, name, common, metrics) for work in works[:1]]
    for work in works[1:]:
        ours = _rows(work, name, "tuned", common, metrics)
        pairs = [(a[DECIDING_METRIC], b[DECIDING_METRIC]) for a, b in zip(ours, first, strict=True)]
        own = _figures(work, name, common, metrics)
        figures.append(
            WorkFigures(
                own.name,
                own.questions,
                own.base,
                own.tuned,
                paired_intervals(ours, first, units, sampling),
                sum(a > b for a, b in pairs),
                sum(a < b for a, b in pairs),
            )
        )
    return ComparedSet(name, len(common), units.count, tuple(metrics), tuple(figures))


def _rows(work: Measured, name: str, system: str, keys: Sequence[Key], metrics: Sequence[str]) -> list[Metrics]:
    found = work.values[name][system]
    return [{metric: found[key][metric] for metric in metrics} for key in keys]


def _figures(work: Measured, name: str, keys: Sequence[Key], metrics: Sequence[str]) -> WorkFigures:
    means = {}
    for system in ("base", "tuned"):
        rows = _rows(work, name, system, keys, metrics)
        means[system] = {metric: sum(row[metric] for row in rows) / len(rows) for metric in metrics}
    return WorkFigures(work.name, len(work.families[name]), means["base"], means["tuned"])


def _differing_set(name: str, works: Sequence[Measured], common: int) -> list[str]:
    """Say where a set is not exactly the same for all works."""
    remarks = []
    sizes = [len(work.families[name]) for work in works]
    if any(size != common for size in sizes):
        listed = ", ".join(f"{work.name} has {size:,}" for work, size in zip(works, sizes, strict=True))
        remarks.append(f"{name}: only the {common:,} questions that all have are compared ({listed})")
    if len({_passages(name, work) for work in works}) > 1:
        remarks.append(
            f"{name}: the passages that are searched, or which of them answer, are not the same: a difference may "
            "come from that"
        )
    return remarks


def _passages(name: str, work: Measured) -> str | None:
    """Return what identifies the passages and judgements that a set has in a work."""
    if name == SYNTHETIC:
        dataset = work.manifests.get("dataset")
        return dataset.files["corpus.jsonl"].sha256 if dataset else None
    inputs = work.manifests["evaluation"].inputs
    return next((value for key, value in inputs.items() if key.split(".", 2)[-1] == name), None)


def _settings(works: Sequence[Measured]) -> list[SettingRow]:
    """Return the settings and sizes that are not the same in all works."""
    flat = [_flat(work) for work in works]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    rows = [SettingRow(key, tuple(one.get(key, NOT_KNOWN) for one in flat)) for key in keys]
    return [row for row in rows if len({*row.values}) > 1 and row.key not in NO_SETTINGS]


def _flat(work: Measured) -> dict[str, str]:
    """Return sizes, seed, contract and settings by their full names."""
    found: dict[str, str] = {}
    for artifact, names in SIZES.items():
        if artifact in work.manifests:
            counts = work.manifests[artifact].counts
            found |= {
                f"{artifact}: {name.replace('_', ' ')}": f"{counts[name]:,}" for name in names if name in counts
            }
    for manifest in work.manifests.values():
        found["seed"] = str(manifest.seed)
        found |= _keys("contract", manifest.contract.model_dump(mode="json"))
        for section, values in manifest.settings.items():
            found |= _keys(section, values)
    return found


def _keys(name: str, value: object) -> dict[str, str]:
    if isinstance(value, Mapping) and value:
        return {key: text for part, inner in value.items() for key, text in _keys(f"{name}.{part}", inner).items()}
    return {name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}


def _other_code(works: Sequence[Measured]) -> list[str]:
    """Name the stages that were run by different code."""
    differ = [
        stage.name
        for stage in STAGES
        if len({one.manifests[stage.artifact].code_version for one in works if stage.artifact in one.manifests})
        > 1
    ]
    if not differ:
        return []
    return [f"different versions of embedtune ran {', '.join(differ)}: a difference may come from that"]
