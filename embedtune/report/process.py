"""The half of the report that says how it was made: questions, mining, training, stages, provenance, warnings."""

from collections import Counter
from typing import Any

import numpy as np

from embedtune.core.artifacts import SCHEMAS, Settings
from embedtune.core.records.base import read_record
from embedtune.core.records.engine import PARITY_FILE, Parity
from embedtune.report.charts import Bins, Curve, curves, histogram, shares
from embedtune.report.figures import METRIC, metric_title
from embedtune.report.work import Work

SCORE_BINS = 40
TRAITS = ("style", "query_type", "reasoning_type", "hops", "complexity", "split")
REASONS = {
    "min_relevance": "relevance too low",
    "min_accuracy": "accuracy too low",
    "min_clarity": "clarity too low",
    "min_context_support": "context support too low",
    "min_overall": "mean score too low",
    "duplicate": "like another question",
    "copied": "copied from the passage",
    "round_trip": "its passage is not found",
    "from_example": "takes a name from the prompt's example",
    "mentions_passage": "speaks of the passage",
    "not_multi_hop": "needs one passage only",
    "not_judged": "not judged",
    "too_long": "too long",
}
TILES = (
    ("documents", "chunks", "documents.parquet"),
    ("chunks", "chunks", "chunks.parquet"),
    ("questions kept", "questions", "questions.parquet"),
    ("training rows", "triplets", "triplets.parquet"),
)


def tiles(work: Work) -> list[tuple[str, str]]:
    """Return the few sizes that describe a run: (figure, what it counts)."""
    counts = [(work.count(artifact, file), label) for label, artifact, file in TILES]
    shown = [(f"{count:,}", label) for count, label in counts if count is not None]
    reports = [manifest.report for manifest in work.manifests.values()]
    cost = sum(report.cost_usd for report in reports)
    shown.append((duration(sum(report.seconds for report in reports)), "in all stages"))
    return [*shown, (f"${cost:,.2f}", "for LLM calls")]


def duration(seconds: float) -> str:
    """Return a duration as people say it: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def training(work: Work) -> dict[str, Any] | None:
    """Return the curves of loss and dev nDCG@10."""
    record = work.data("model", "training.json")
    if not record or not record.get("steps"):
        return None
    loss = [(float(entry["step"]), float(entry["loss"])) for entry in record["steps"]]
    dev = [(float(entry["step"]), float(entry[METRIC])) for entry in record["dev"]]
    return {
        **{key: record[key] for key in ("best", "rows", "batch_size", "device", "matryoshka")},
        "seconds": duration(record["seconds"]),
        "loss": curves([Curve("loss", "tuned", loss)], "step", "Training loss by step"),
        "dev": curves([Curve("dev", "tuned", dev)], "step", f"{metric_title(METRIC)} on dev by step")
        if dev
        else None,
    }


def mining(work: Work) -> dict[str, Any] | None:
    """Return the distributions of positive and negative scores, and why candidates were turned away."""
    rows = work.rows("triplets", "triplets.parquet", ("positive_score", "negative_scores"))
    audit = work.data("triplets", "audit.json")
    if not rows or audit is None:
        return None
    rejected = sorted(audit["rejected"].items(), key=lambda entry: (-entry[1], entry[0]))
    positive = np.array([row["positive_score"] for row in rows])
    negative = np.array([score for row in rows for score in row["negative_scores"]])
    edges = np.histogram_bin_edges(np.concatenate([positive, negative]), SCORE_BINS)
    series = [
        Bins(name, kind, edges.tolist(), np.histogram(scores, edges)[0].tolist())
        for name, kind, scores in (("negatives", "negative", negative), ("positives", "positive", positive))
    ]
    return {
        **{key: audit[key] for key in ("queries", "short", "dropped")},
        "rows": len(positive),
        "negatives": len(negative),
        "median_rank": audit["negative_ranks"].get("quantiles", {}).get("0.5"),
        "rejected": shares(
            [(reason.replace("_", " "), count, "negative") for reason, count in rejected if count],
            "Candidates turned away, by reason",
        )
        if any(audit["rejected"].values())
        else None,
        "mean_positive": float(positive.mean()),
        "mean_negative": float(negative.mean()),
        "chart": histogram(series, "score in the base model", "Scores of positives and mined negatives"),
    }


def parity(work: Work) -> dict[str, Any] | None:
    """Return how near each exported variant comes to PyTorch, and what it costs in nDCG@10 on dev."""
    if "engine" not in work.manifests:
        return None
    record = read_record(work.path / "engine" / PARITY_FILE, Parity)
    # A dictionary, as Jinja reads it.
    return {
        **record.model_dump(include={"target", "texts", "tokens", "dimensions", "dev_queries"}),
        "pytorch": record.pytorch_ndcg,
        "variants": [
            {**variant.model_dump(), "name": name, "shipped": name == record.precision}
            for name, variant in record.variants.items()
        ],
    }


def questions(work: Work) -> dict[str, Any] | None:
    """Return how many questions were kept and rejected, why, and what the kept ones are like."""
    kept = work.rows("questions", "questions.parquet", TRAITS)
    if "questions" not in work.manifests:
        return None
    rejected = Counter(row["reason"] for row in work.rows("questions", "rejected.parquet", ("reason",)))
    rows = [("kept", len(kept), "positive")]
    rows += [
        (REASONS.get(reason, reason), count, "negative")
        for reason, count in sorted(rejected.items(), key=lambda r: (-r[1], r[0]))
    ]
    traits = [
        {
            "name": trait.replace("_", " "),
            "values": [
                (str(value), count / len(kept))
                for value, count in sorted(Counter(row[trait] for row in kept).items(), key=lambda v: str(v[0]))
            ],
        }
        for trait in TRAITS
        if kept
    ]
    return {
        "kept": len(kept),
        "asked": len(kept) + rejected.total(),
        "chart": shares(rows, "Questions kept and rejected, by reason"),
        "traits": traits,
    }


def stages(work: Work) -> list[dict[str, Any]]:
    """Return what every stage did, took and cost, from the manifests."""
    return [
        {
            "name": SCHEMAS[name].stage,
            "artifact": name,
            "counts": manifest.counts,
            "metrics": {key: _shown(value) for key, value in manifest.report.metrics.items()},
            "seconds": duration(manifest.report.seconds),
            "cost": manifest.report.cost_usd,
        }
        for name, manifest in work.manifests.items()
    ]


def _shown(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def warnings(work: Work) -> list[tuple[str, str]]:
    """Return (stage, remark): what a reader should know before trusting the figures."""
    stale = [("report", remark) for remark in work.disagreements()]
    noted = [
        (SCHEMAS[name].stage, note) for name, manifest in work.manifests.items() for note in manifest.report.notes
    ]
    return [*stale, *noted]


def provenance(work: Work) -> dict[str, Any]:
    """Return the identity of every artifact, the contract and the configuration."""
    settings: Settings = {}
    contract: dict[str, Any] = {}
    for manifest in work.manifests.values():
        settings |= manifest.settings
        contract = manifest.contract.model_dump(mode="json")
    return {
        "artifacts": [
            {
                "name": name,
                "fingerprint": manifest.fingerprint,
                "code": manifest.code_version,
                "seed": manifest.seed,
                "tool": manifest.tool_version,
                "bytes": sum(record.bytes for record in manifest.files.values()),
            }
            for name, manifest in work.manifests.items()
        ],
        "contract": contract,
        "config": settings,
    }
