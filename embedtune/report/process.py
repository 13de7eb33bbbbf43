"""The part of the report on the other stages: questions, mining, training, parity, costs, provenance."""

from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from markupsafe import Markup

from embedtune.core.artifacts import SCHEMAS, Settings
from embedtune.core.contract import EncoderContract
from embedtune.core.formatting import duration, figure
from embedtune.core.records.audit import AUDIT_FILE, REASON_TEXTS, Audit
from embedtune.core.records.engine import PARITY_FILE, Parity
from embedtune.core.records.rejections import rejection_text
from embedtune.core.records.training import TRAINING_FILE, Training
from embedtune.core.retrieval.metrics import DECIDING_METRIC as METRIC
from embedtune.core.retrieval.metrics import metric_title
from embedtune.report.charts import Bins, Curve, curves, histogram
from embedtune.report.costs import llm_cost
from embedtune.report.plots import shares
from embedtune.report.work import Work

SCORE_BINS = 40
DOCUMENTS = 200  # listed in the report
TRAITS = ("style", "query_type", "reasoning_type", "hops", "complexity", "split")
TILES = (
    ("documents", "chunks", "documents.parquet"),
    ("chunks", "chunks", "chunks.parquet"),
    ("questions kept", "questions", "questions.parquet"),
    ("training rows", "triplets", "triplets.parquet"),
)


def tiles(work: Work) -> list[tuple[str, str]]:
    """Return the few figures that sum up a run, as (figure, label)."""
    counts = [(work.count(artifact, file), label) for label, artifact, file in TILES]
    shown = [(f"{count:,}", label) for count, label in counts if count is not None]
    reports = [manifest.report for manifest in work.manifests.values()]
    shown.append((duration(sum(report.seconds for report in reports)), "in all stages"))
    return [*shown, (llm_cost(work), "paid for LLM calls")]


@dataclass(frozen=True)
class Document:
    """One document that the run was made from."""

    path: str
    title: str
    split: str
    words: int


@dataclass(frozen=True)
class Documents:
    """The documents: how many, with how many words, of which kinds, and the first of them by path."""

    count: int
    words: int
    kinds: list[tuple[str, int]]
    shown: list[Document]


def documents(work: Work) -> Documents | None:
    """Return what the report says about the documents; None if none were ingested here."""
    rows = work.rows("chunks", "documents.parquet", ("path", "title", "split", "n_words"))
    if not rows:
        return None
    kinds = Counter(PurePosixPath(row["path"]).suffix.lower().lstrip(".") or "without extension" for row in rows)
    first = sorted(rows, key=lambda row: str(row["path"]))[:DOCUMENTS]
    return Documents(
        count=len(rows),
        words=sum(row["n_words"] for row in rows),
        kinds=sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0])),
        shown=[Document(row["path"], row["title"], row["split"], row["n_words"]) for row in first],
    )


@dataclass(frozen=True)
class TrainingSection:
    """The record of the training run, its duration and its curves."""

    record: Training
    seconds: str
    loss: Markup
    dev: Markup | None
    shares: Markup | None


def training(work: Work) -> TrainingSection | None:
    """Return what the report says about training."""
    record = work.record("model", TRAINING_FILE, Training)
    if record is None:
        return None
    loss = [(float(entry.step), entry.loss) for entry in record.steps]
    dev = [(float(entry.step), entry.ndcg_at_10) for entry in record.dev]
    title = f"{metric_title(METRIC)} on dev by step"
    return TrainingSection(
        record=record,
        seconds=duration(work.manifests["model"].report.seconds),
        loss=curves([Curve("loss", "tuned", loss)], "step", "Training loss by step"),
        dev=curves([Curve("dev", "tuned", dev)], "step", title) if dev else None,
        shares=_shares(record),
    )


def _shares(record: Training) -> Markup | None:
    points = [(100 * point.base_share, point.ndcg_at_10) for point in record.shares]
    title = f"{metric_title(METRIC)} on dev by the share of the base model's weights"
    return curves([Curve("dev", "tuned", points)], "% of the base model's weights", title) if points else None


@dataclass(frozen=True)
class MiningSection:
    """The audit of the mined negatives, their scores, and why other candidates were rejected."""

    audit: Audit
    rows: int
    negatives: int
    mean_positive: float
    mean_negative: float
    chart: Markup
    rejected: Markup | None


def mining(work: Work) -> MiningSection | None:
    """Return what the report says about mining."""
    audit = work.record("triplets", AUDIT_FILE, Audit)
    rows = work.rows("triplets", "triplets.parquet", ("positive_score", "negative_scores"))
    if audit is None or not rows:
        return None
    positive = np.array([row["positive_score"] for row in rows])
    negative = np.array([score for row in rows for score in row["negative_scores"]])
    edges = np.histogram_bin_edges(np.concatenate([positive, negative]), SCORE_BINS)
    series = [
        Bins(name, kind, edges.tolist(), np.histogram(scores, edges)[0].tolist())
        for name, kind, scores in (("negatives", "negative", negative), ("positives", "positive", positive))
    ]
    rejected = sorted(
        ((REASON_TEXTS[reason], count, "negative") for reason, count in audit.rejected if count),
        key=lambda entry: (-entry[1], entry[0]),
    )
    return MiningSection(
        audit=audit,
        rows=len(positive),
        negatives=len(negative),
        mean_positive=float(positive.mean()),
        mean_negative=float(negative.mean()),
        chart=histogram(series, "score in the base model", "Scores of positives and mined negatives"),
        rejected=shares(rejected, "Rejected candidates, by reason") if rejected else None,
    )


def parity(work: Work) -> Parity | None:
    """Return how close each exported variant is to PyTorch, and how much nDCG@10 it loses on dev."""
    return work.record("engine", PARITY_FILE, Parity)


@dataclass(frozen=True)
class Trait:
    """A property of the kept questions: each of its values with its share."""

    name: str
    shares: list[tuple[str, float]]


@dataclass(frozen=True)
class Questions:
    """The generated questions: how many were kept, why others were rejected, and properties of the kept ones."""

    kept: int
    asked: int
    chart: Markup
    traits: list[Trait]


def questions(work: Work) -> Questions | None:
    """Return what the report says about the generated questions."""
    kept = work.rows("questions", "questions.parquet", TRAITS)
    if "questions" not in work.manifests:
        return None
    reasons = [row["reason"] for row in work.rows("questions", "rejected.parquet", ("reason",))]
    rejected = Counter(rejection_text(reason) for reason in reasons)
    rows = [("kept", len(kept), "positive")]
    rows += [
        (reason, count, "negative") for reason, count in sorted(rejected.items(), key=lambda r: (-r[1], r[0]))
    ]
    counts = {trait: Counter(row[trait] for row in kept) for trait in TRAITS} if kept else {}
    traits = [
        Trait(
            trait.replace("_", " "),
            [
                (str(value), count / len(kept))
                for value, count in sorted(counted.items(), key=lambda one: str(one[0]))
            ],
        )
        for trait, counted in counts.items()
    ]
    chart = shares(rows, "Questions kept and rejected, by reason")
    return Questions(len(kept), len(kept) + rejected.total(), chart, traits)


@dataclass(frozen=True)
class StageFigures:
    """The figures of one stage, with its duration and cost."""

    name: str
    counts: dict[str, int]
    metrics: dict[str, str]
    seconds: str
    cost: float


def stages(work: Work) -> list[StageFigures]:
    """Return the figures of every stage, from the manifests."""
    return [
        StageFigures(
            name=SCHEMAS[name].stage,
            counts=manifest.counts,
            metrics={key: figure(value) for key, value in manifest.report.metrics.items()},
            seconds=duration(manifest.report.seconds),
            cost=manifest.report.cost_usd,
        )
        for name, manifest in work.manifests.items()
    ]


def warnings(work: Work) -> list[tuple[str, str]]:
    """Return the remarks that a reader should know before trusting the figures, as (stage, remark)."""
    stale = [("report", remark) for remark in work.disagreements()]
    noted = [
        (SCHEMAS[name].stage, note) for name, manifest in work.manifests.items() for note in manifest.report.notes
    ]
    return [*stale, *noted]


@dataclass(frozen=True)
class Origin:
    """The provenance of one artifact."""

    name: str
    fingerprint: str
    code: str
    seed: int
    tool: str
    bytes: int


@dataclass(frozen=True)
class Provenance:
    """The provenance of every artifact, the encoder contract and the configuration."""

    artifacts: list[Origin]
    contract: EncoderContract
    config: Settings


def provenance(work: Work) -> Provenance:
    """Return what the report's figures were made from."""
    settings: Settings = {}
    for manifest in work.manifests.values():
        settings |= manifest.settings
    artifacts = [
        Origin(
            name=name,
            fingerprint=manifest.fingerprint,
            code=manifest.code_version,
            seed=manifest.seed,
            tool=manifest.tool_version,
            bytes=sum(record.bytes for record in manifest.files.values()),
        )
        for name, manifest in work.manifests.items()
    ]
    return Provenance(artifacts, list(work.manifests.values())[-1].contract, settings)
