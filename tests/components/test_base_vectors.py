"""The base model's vectors of all passages, which encode writes for the other tasks of a run."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components import base_vectors
from components.base_vectors import encode_passages
from embedtune.core.artifacts import write_artifact
from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.encoders.vector_file import VectorFile, require_vectors
from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.progress import Progress, SilentProgress, Task
from tests.support.context import context, provenance
from tests.support.tiny_model import make_tiny_model, tiny_contract

PARTS = ("kiln", "pump", "press", "drum", "seal", "valve", "hoist", "chain", "belt", "cutter")
TEXTS = [f"{'check the oil ' * (number % 7)}and close the {part}" for number, part in enumerate(PARTS * 3)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "base")


def config(base: Path, **runtime: str) -> Config:
    contract = tiny_contract(base).model_dump() | {"passage_prefix": "passage: "}
    return parse_config({"contract": contract, "runtime": {"device": "cpu", **runtime}})


def write_chunks(folder: Path, texts: Sequence[str]) -> Path:
    """Write the columns that are read here; a chunk's id is of its text, and the last chunk is there twice."""
    ids = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]
    rows = {
        "chunk_id": [*ids, ids[-1]],
        "heading_path": [["Guide", "Oil"]] * (len(ids) + 1),
        "text": [*texts, texts[-1]],
    }
    with write_artifact(folder, "chunks", provenance()) as draft:
        pq.write_table(pa.table(rows), draft.path / "chunks.parquet")
        for name in ("documents", "skipped"):
            pq.write_table(pa.table({"path": ["a.md"]}), draft.path / f"{name}.parquet")
    return folder


def one_process(base: Path, texts: Sequence[str], progress: Progress) -> tuple[TorchEncoder, list[str], Vectors]:
    """Return an encoder, the distinct passages in the order in which generate encodes them, and their vectors."""
    encoder = TorchEncoder(base, config(base).contract, config(base).runtime)
    ordered = sorted(set(texts), key=lambda text: hashlib.sha256(text.encode()).hexdigest()[:16])
    rendered = [f"Guide > Oil\n{text}" for text in ordered]
    return encoder, rendered, encoder.encode_passages(rendered, progress)


def test_the_vectors_are_those_of_a_run_in_one_process(
    base: Path, tmp_path: Path, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_vectors, "PASSAGES_AT_ONCE", 512)  # the corpus is written in more than one block
    texts = [f"{text} {number}" for number in range(20) for text in TEXTS]
    encode_passages(write_chunks(tmp_path / "chunks", texts), tmp_path / "made", context(config(base), tmp_path))
    encoder, rendered, expected = one_process(base, texts, progress)
    found = VectorFile(tmp_path / "made").get(keys := encoder.passage_keys(rendered))
    assert len(found) == len(rendered) == 600
    np.testing.assert_array_equal(np.stack([found[key] for key in keys]), expected)


def test_the_record_and_the_page_say_what_there_is(base: Path, tmp_path: Path) -> None:
    chunks = write_chunks(tmp_path / "chunks", TEXTS)
    report = encode_passages(chunks, tmp_path / "made", context(config(base), tmp_path))
    record = require_vectors(tmp_path / "made")
    assert (record.passages, record.dimension, len(record.fingerprints)) == (len(set(TEXTS)), 32, 1)
    assert report.metrics["bytes"] == record.bytes > record.passages * record.dimension * 4
    again = encode_passages(chunks, tmp_path / "again", context(config(base), tmp_path))
    assert require_vectors(tmp_path / "again") == record
    assert again.metrics["passages"] == report.metrics["passages"]


def test_another_attempt_computes_only_what_the_lost_one_had_not(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_block, computed = TorchEncoder._encode_block, list[str]()

    def lost_after_one_block(encoder: TorchEncoder, texts: list[str], task: Task) -> Vectors:
        if computed:
            raise KeyboardInterrupt
        computed.extend(texts)
        return encode_block(encoder, texts, task)

    chunks = write_chunks(tmp_path / "chunks", [f"{text} {number}" for number in range(20) for text in TEXTS])
    monkeypatch.setattr(TorchEncoder, "_encode_block", lost_after_one_block)
    with pytest.raises(KeyboardInterrupt):
        encode_passages(chunks, tmp_path / "made", context(config(base), tmp_path), resume=True)
    assert not (tmp_path / "made").exists()
    first = set(computed)
    computed.clear()
    encode_passages(chunks, tmp_path / "made", context(config(base), tmp_path), resume=True)
    assert len(computed) == 600 - len(first) and not first & set(computed)
    assert require_vectors(tmp_path / "made").passages == 600


def test_each_precision_that_the_stages_compute_in_has_its_vectors(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where auto is bf16 and generate still computes in fp32."""
    monkeypatch.setattr(base_vectors, "same_everywhere", lambda runtime: config(base).runtime)
    its_context = context(config(base, precision="bf16"), tmp_path)
    report = encode_passages(write_chunks(tmp_path / "chunks", TEXTS), tmp_path / "made", its_context)
    assert report.metrics["precisions"] == 2
    passages = [f"Guide > Oil\n{text}" for text in TEXTS]
    full, half = (
        TorchEncoder(base, its_context.config.contract, one.runtime)
        for one in (config(base), config(base, precision="bf16"))
    )
    file = VectorFile(tmp_path / "made")
    for encoder in (full, half):
        found = file.get(encoder.passage_keys(passages))
        assert len(found) == len(set(TEXTS))
        alone = encoder.encode_passages(passages[:1], SilentProgress())
        np.testing.assert_allclose(found[encoder.passage_keys(passages[:1])[0]], alone[0], atol=2e-2)
    assert full.passage_keys(passages[:1]) != half.passage_keys(passages[:1])


def test_damaged_chunks_and_foreign_directories_are_refused(base: Path, tmp_path: Path) -> None:
    its_context = context(config(base), tmp_path)
    chunks = write_chunks(tmp_path / "chunks", TEXTS)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "summer.jpg").write_bytes(b"1")
    with pytest.raises(InputError, match="something else"):
        encode_passages(chunks, tmp_path / "photos", its_context)
    (chunks / "chunks.parquet").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="was changed"):
        encode_passages(chunks, tmp_path / "made", its_context)
    assert not (tmp_path / "made").exists()
