"""A work directory with every artifact, invented but consistent: tests render the report from it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.artifacts import Provenance, StageReport, read_manifest, write_artifact
from embedtune.core.config.config import Config
from embedtune.core.records.audit import AUDIT_FILE, Audit, Distribution, LexicalDuplicates, Rejected
from embedtune.core.records.base import write_record
from embedtune.core.records.evaluation import EXAMPLES_FILE, SLICES_FILE, VERDICT_FILE, scan_figure
from embedtune.core.records.metrics import METRICS_FILE
from embedtune.core.records.training import TRAINING_FILE, DevPoint, KeptStep, SharePoint, Training, TrainingStep
from embedtune.core.retrieval.beir import SPLITS, Record, RetrievalSet
from embedtune.core.retrieval.forms import Form
from embedtune.core.stage import stage_settings
from embedtune.evaluate.examples import examples_record
from embedtune.evaluate.form_metrics import form_metrics
from embedtune.evaluate.hybrid import hybrid_metrics
from embedtune.evaluate.intervals import Sampling
from embedtune.evaluate.result import SetResult, differences
from embedtune.evaluate.sizes import size_metrics
from embedtune.evaluate.slices import slices_record
from embedtune.evaluate.summary import Extras, metrics_record, notes, report_metrics, write_per_query
from embedtune.evaluate.verdict import verdict_record
from embedtune.export.parity import Measurements, Variant
from embedtune.export.parity_texts import Sample
from embedtune.mine.audit import distribution
from tests.support.evaluation_records import MEASURED

STYLES = ("question", "keywords", "symptom", "howto")
README = "# tiny, tuned\n\n## Evaluation\n\n<!-- evaluation -->\n\n## Training\n\nby hand\n"
# Parameter of the geometric distribution of the rank of the answer, by system: the higher, the better.
BETTER = {"bm25": 0.30, "base": 0.40, "champion": 0.46, "tuned": 0.56}


def make_work(work: Path, config: Config, *, quality: dict[str, float] | None = None, text: str = "") -> Path:
    """Write all artifacts of a run into `work`; `text` is added to every passage, question and set name."""
    _chunks(work, config)
    _questions(work, config)
    _dataset(work, config)
    _triplets(work, config)
    _model(work, config)
    _evaluation(work, config, quality or BETTER, text)
    _engine(work, config)
    return work


def _provenance(work: Path, config: Config, stage: str, *inputs: str) -> Provenance:
    found = {name: read_manifest(work / name, name).fingerprint for name in inputs}
    return Provenance(42, config.contract, stage_settings(config, stage), found, "0123456789abcdef")


def _table(path: Path, rows: list[dict]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def _chunks(work: Path, config: Config) -> None:
    with write_artifact(work / "chunks", "chunks", _provenance(work, config, "ingest")) as draft:
        _table(draft.path / "documents.parquet", _documents())
        _table(draft.path / "chunks.parquet", [{"chunk_id": f"c{n}"} for n in range(264)])
        _table(draft.path / "skipped.parquet", [{"path": "scan.pdf", "reason": "no text"}])
        draft.counts = {"documents": 72, "chunks": 264, "skipped": 1}
        draft.report = StageReport("ingest", {"truncated_share": 0.0}, ("scan.pdf: no text",), 6.2)


def _documents() -> list[dict]:
    return [
        {"doc_id": f"d{n}", "path": f"area/d{n:02}.md", "title": f"Hoist {n}", "split": "train", "n_words": 500}
        for n in range(72)
    ]


def _questions(work: Path, config: Config) -> None:
    rng = np.random.default_rng(0)
    kept = [
        {
            "style": STYLES[n % 4],
            "query_type": ("structural", "contextual")[n % 2],
            "reasoning_type": ("factual", "procedural", "causal")[n % 3],
            "hops": int(rng.choice([1, 1, 1, 2, 3])),
            "complexity": 2 + n % 4,
            "split": "train" if n % 10 < 7 else "test",
        }
        for n in range(612)
    ]
    reasons = ["min_overall"] * 121 + ["min_accuracy"] * 34 + ["duplicate"] * 41 + ["round_trip"] * 22
    provenance = _provenance(work, config, "generate", "chunks")
    with write_artifact(work / "questions", "questions", provenance) as draft:
        _table(draft.path / "questions.parquet", kept)
        _table(draft.path / "rejected.parquet", [{"reason": reason} for reason in reasons])
        draft.counts = {"kept": 612, "rejected": 218}
        draft.report = StageReport(
            "generate",
            {"generator": "qwen", "judge": "judge", "calls": 402, "prompt_tokens": 812_345},
            (),
            1840.0,
            1.37,
        )


def _dataset(work: Path, config: Config) -> None:
    provenance = _provenance(work, config, "split", "chunks", "questions")
    with write_artifact(work / "dataset", "dataset", provenance) as draft:
        for name in ("corpus.jsonl", "queries.jsonl", "split.json"):
            (draft.path / name).write_text("{}")
        (draft.path / "qrels").mkdir()
        for split in SPLITS:
            (draft.path / "qrels" / f"{split}.tsv").write_text("")
        draft.counts = {"train": 428, "dev": 62, "test": 122}
        draft.report = StageReport("split", {"proofs": 3}, (), 0.9)


def _triplets(work: Path, config: Config) -> None:
    rng = np.random.default_rng(1)
    rows = [
        {"positive_score": score, "negative_scores": rng.normal(0.42, 0.1, 5).clip(0, 0.9 * score).tolist()}
        for score in rng.normal(0.62, 0.11, 498).clip(0.1, 0.95)
    ]
    with write_artifact(work / "triplets", "triplets", _provenance(work, config, "mine", "dataset")) as draft:
        _table(draft.path / "triplets.parquet", rows)
        _table(draft.path / "passages.parquet", [{"passage_id": "p1", "group_id": "p1", "text": "a passage"}])
        write_record(draft.path / AUDIT_FILE, make_audit())
        draft.counts = {"rows": 498}
        draft.report = StageReport("mine", {"short_share": 0.021}, (), 3.4)


def make_audit() -> Audit:
    scores = Distribution(count=0)
    ranks = distribution(np.arange(1, 12))
    return Audit(
        mining_corpus=264,
        queries=428,
        rows=498,
        complete=413,
        short=6,
        dropped=9,
        dropped_queries=(),
        rejected=Rejected(positive=498, group=18, sibling=0, margin=311),
        positive_scores=scores,
        negative_scores=scores,
        positive_ranks=scores,
        negative_ranks=ranks,
        lexical_duplicates=LexicalDuplicates(checked=2490, found=0, examples=()),
        examples=(),
    )


def _model(work: Path, config: Config) -> None:
    rng = np.random.default_rng(2)
    losses = [1.9 * 0.985**n + 0.35 + float(rng.normal(0, 0.07)) for n in range(186)]
    grades = (0.44, 0.52, 0.55, 0.54)
    training = Training(
        steps=tuple(
            TrainingStep(step=n + 1, epoch=(n + 1) / 62, loss=loss, lr=2e-5) for n, loss in enumerate(losses)
        ),
        dev=tuple(DevPoint(step=62 * n, epoch=n, ndcg_at_10=value) for n, value in enumerate(grades)),
        dev_pool=None,
        best=KeptStep(step=124, epoch=2.0, ndcg_at_10=0.55),
        base_share=0.5,
        shares=tuple(SharePoint(base_share=n / 4, ndcg_at_10=0.44 + 0.1 * n * (4 - n) / 4) for n in range(5)),
        rows=498,
        negatives=4,
        batch_size=62,
        device="cpu",
        precision="fp32",
        attention="auto",
        weights="fp32",
        seeds=(),
        matryoshka=(),
    )
    with write_artifact(work / "model", "model", _provenance(work, config, "train", "triplets")) as draft:
        config.contract.save(draft.path)
        (draft.path / "modules.json").write_text("[]")
        write_record(draft.path / TRAINING_FILE, training)
        (draft.path / "README.md").write_text(README)
        draft.counts = {"rows": 498}
        draft.report = StageReport("train", {"steps": 186, "best_step": 124}, (), 412.0)


def _evaluation(work: Path, config: Config, quality: dict[str, float], text: str) -> None:
    results = [_result(f"hand-written{text}", 134, quality, text, 3), _result("synthetic", 122, quality, text, 4)]
    settings, seed = config.evaluate, config.seed
    sampling = Sampling.of(settings, seed)
    against_base = differences(results, "base", sampling)
    against_champion = differences(results, "champion", sampling) if "champion" in quality else None
    verdict = verdict_record(against_base, against_champion, results[0].name, sampling, MEASURED)
    extras = {
        result.name: Extras(
            size_metrics(result, sampling), form_metrics(result, 384, sampling), hybrid_metrics(result, sampling)
        )
        for result in results
    }
    provenance = _provenance(work, config, "evaluate", "dataset", "model")
    with write_artifact(work / "evaluation", "evaluation", provenance) as draft:
        write_record(draft.path / METRICS_FILE, metrics_record(results, against_base, against_champion, extras))
        write_record(draft.path / VERDICT_FILE, verdict)
        write_record(draft.path / SLICES_FILE, slices_record(results, settings, seed))
        write_record(draft.path / EXAMPLES_FILE, examples_record(results, 3, seed))
        write_per_query(draft.path / "per_query.parquet", results)
        figures = report_metrics(results, against_base, verdict) | {scan_figure(384, "int8"): 50_000_000}
        draft.counts = {f"queries.{result.name}": len(result.data.queries) for result in results}
        draft.report = StageReport("evaluate", figures, notes(results, against_base, False), 38.5)


def _engine(work: Path, config: Config) -> None:
    full, small = np.array([0.99999, 1.0]), np.array([0.9612, 0.99])
    samples = [Sample("query", "grease", 3, 384), Sample("passage", "grease the chain", 256, 384)]
    variants = [Variant("fp32", 90.8, full, 0.55), Variant("int8", 59.0, small, 0.5431)]
    found = Measurements(config.export, samples, 62, 0.55, variants)
    with write_artifact(
        work / "engine", "engine", _provenance(work, config, "export", "model", "dataset")
    ) as draft:
        config.contract.save(draft.path)
        (draft.path / "engine.json").write_text("{}")
        write_record(draft.path / "parity.json", found.record())
        (draft.path / "reference.parquet").write_text("")
        draft.report = StageReport("export", found.metrics(), found.notes(), 65.0)


def _result(name: str, queries: int, quality: dict[str, float], text: str, seed: int) -> SetResult:
    """Make runs in which the one answer to a query is at a geometrically distributed rank, or is not found."""
    rng = np.random.default_rng(seed)
    corpus = [
        Record(f"p{n:03}", f"Rake hoist RH-{n}: grease the chain every {n} hours. {text}") for n in range(150)
    ]
    asked = [
        Record(
            f"q{n:03}",
            f"how often do I grease the chain of hoist {n}{' when it squeals' * (n % 3)}? {text}",
            {"hops": 1 + (n % 5 == 0), "style": STYLES[n % 4] + text, "complexity": 2 + n % 3},
        )
        for n in range(queries)
    ]
    runs: dict[str, dict[str, dict[str, float]]] = {system: {} for system in quality}
    for number, query in enumerate(asked):
        for system, share in quality.items():
            rank = int(rng.geometric(share))
            others = [record.id for record in corpus if record.id != f"p{number:03}"][:100]
            if rank <= 100:
                others.insert(rank - 1, f"p{number:03}")
            runs[system][query.id] = {passage: 0.9 - 0.005 * place for place, passage in enumerate(others)}
    qrels = {query.id: {f"p{number:03}": 1} for number, query in enumerate(asked)}
    coarser = {Form(None, "int8"): runs["tuned"], Form(None, "ubinary"): runs["base"]}
    return SetResult(name, RetrievalSet(corpus, asked, qrels), runs, (1, 5, 10, 100), coarser=coarser)
