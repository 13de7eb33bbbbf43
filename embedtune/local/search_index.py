"""Searches the passages of a work directory with FAISS indexes of the base and tuned models."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np

from embedtune.core.artifacts import read_artifact
from embedtune.core.config.config import Config
from embedtune.core.config.export import ExportSettings
from embedtune.core.contract import EncoderContract, load_contract
from embedtune.core.directories import replaced, require_replaceable
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress, SilentProgress
from embedtune.core.records.base import write_record
from embedtune.core.records.playground import ABOUT_FILE, PlaygroundRecord
from embedtune.core.retrieval.beir import Record, read_qrels, read_records, write_records
from embedtune.core.retrieval.bm25 import BM25Index
from embedtune.core.retrieval.hybrid import fused
from embedtune.core.retrieval.side_by_side import BASE, DEPTH, TUNED, Hit, Ranking, compare
from embedtune.core.secrets import Secrets

log = logging.getLogger(__name__)
INDEX = "index"
EXAMPLES = 6
EXAMPLE_LENGTH = 90


@dataclass(frozen=True)
class SearchIndex:
    """The passages of a work directory and a FAISS index per model.

    Args:
        work: The work directory.
        contract: How texts become vectors.
        passages: The passages that are searched.
        encoders: Encoder of each model: base, tuned or both.
        indexes: Index of each model.
    """

    work: Path
    contract: EncoderContract
    passages: Sequence[Record]
    encoders: Mapping[str, Encoder]
    indexes: Mapping[str, faiss.Index]

    @cached_property
    def words(self) -> BM25Index:
        """The passages' words, for a hybrid search."""
        return BM25Index([passage.text for passage in self.passages])

    def search(self, question: str, count: int, hybrid: bool = False) -> dict[str, list[Hit]]:
        """Return the best results of each model.

        Args:
            question: The question to search for.
            count: Number of results per model.
            hybrid: Whether each model is joined with BM25.
        """
        depth = min(DEPTH, len(self.passages))
        rankings: dict[str, Ranking] = {}
        for model, encoder in self.encoders.items():
            vectors = encoder.encode_queries([question], SilentProgress())
            scores, places = self.indexes[model].search(vectors, depth)
            rankings[model] = list(zip(places[0].tolist(), scores[0].tolist(), strict=True))
            if hybrid:
                rankings[model] = self._joined(rankings[model], question, depth)
        return compare(rankings, self.passages, count)

    def _joined(self, ranking: Ranking, question: str, depth: int) -> Ranking:
        places, scores = (found[0].tolist() for found in self.words.search([question], depth))
        words = {place: score for place, score in zip(places, scores, strict=True) if score > 0}
        joined = fused(dict(ranking), words)
        return sorted(joined.items(), key=lambda found: (-found[1], found[0]))


def open_index(
    work: Path, models: Sequence[str], config: Config, secrets: Secrets, progress: Progress
) -> SearchIndex:
    """Open the indexes of a work directory; missing or stale ones are built first.

    Args:
        work: Directory where a run wrote `dataset/` and `model/`.
        models: Names of the models: base, tuned or both.
        config: Runtime and object store; the contract is the model's own.
        secrets: Credentials for a base model in an object store.
        progress: Updated while passages are embedded.

    Raises:
        ArtifactError: The dataset or the model is missing or damaged.
    """
    dataset, model = read_artifact(work / "dataset", "dataset"), read_artifact(work / "model", "model")
    contract = load_contract(model.path)
    cache = work / "cache"
    encoders: dict[str, Encoder] = {}
    for name in models:
        path = model.path if name == TUNED else resolve_base(contract, config.base, cache, config.storage, secrets)
        encoders[name] = TorchEncoder(path, contract, config.runtime, cache / "embeddings")
    passages = read_records(dataset.path / "corpus.jsonl")
    corpus = dataset.manifest.files["corpus.jsonl"].sha256
    indexes = {
        name: _index(
            work / INDEX / f"{name}.faiss", f"{corpus} {encoder.fingerprint}", encoder, passages, progress
        )
        for name, encoder in encoders.items()
    }
    return SearchIndex(work, contract, passages, encoders, indexes)


def _index(
    path: Path, origin: str, encoder: Encoder, passages: Sequence[Record], progress: Progress
) -> faiss.Index:
    """Return the index at `path`; rebuild it if it was not made from `origin`."""
    note = path.with_suffix(".origin")
    if path.is_file() and note.is_file() and note.read_text() == origin:
        return faiss.read_index(str(path))
    log.info("search: embedding %d passages for %s", len(passages), path)
    vectors = encoder.encode_passages([passage.text for passage in passages], progress)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    path.parent.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    faiss.write_index(index, str(path))
    note.write_text(origin)  # written last: an index without this note is rebuilt
    return index


def write_playground(index: SearchIndex, folder: Path) -> None:
    """Write the data of the gateway's page: passages, their vectors, and the base model as ONNX.

    Args:
        index: An index of both models.
        folder: Directory to write to; an older one is replaced.

    Raises:
        InputError: Something else is in the directory.
    """
    if not (folder / ABOUT_FILE).is_file():  # a playground of an earlier version names no schema
        require_replaceable(folder, ABOUT_FILE, PlaygroundRecord.NAME)
    from embedtune.export.engine import export_engine

    base = index.encoders[BASE]
    assert isinstance(base, TorchEncoder)  # noqa: S101 - made by `open_index`
    with replaced(folder) as draft:
        (draft / BASE).mkdir()
        export_engine(base.path, index.contract, draft / BASE, ExportSettings())
        for name in (BASE, TUNED):
            np.save(draft / f"{name}.npy", _vectors(index.indexes[name]))
        write_records(draft / "corpus.jsonl", index.passages)
        about = PlaygroundRecord(
            base_model=index.contract.base_model,
            passages=len(index.passages),
            examples=tuple(example_questions(index.work / "dataset")),
        )
        write_record(draft / ABOUT_FILE, about)


def _vectors(index: faiss.Index) -> Vectors:
    vectors: Vectors = index.reconstruct_n(0, index.ntotal)
    return vectors


def example_questions(dataset: Path) -> list[str]:
    """Return a few short test questions, which no model was trained on and which are not chosen by result."""
    asked = read_qrels(dataset / "qrels" / "test.tsv")
    texts = [record.text for record in read_records(dataset / "queries.jsonl") if record.id in asked]
    return [text for text in texts if len(text) <= EXAMPLE_LENGTH][:EXAMPLES]
