"""No reader ends ingest: whatever bytes a file has, it is read or named with a reason."""

import io
import json
import random
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedtune.ingest.blocks import UnreadableError
from embedtune.ingest.reading import COLLECTIONS, LFS_POINTER, READERS, read_documents
from tests.ingest.test_reader_epub import make_epub
from tests.ingest.test_reader_mail import message
from tests.ingest.test_reader_notebook import code, make_notebook
from tests.ingest.test_reader_pptx import make_pptx
from tests.ingest.test_reader_xlsx import make_xlsx
from tests.support.ingest_files import make_docx, make_pdf

TRIES = 25  # per format


def make_parquet() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2], "text": ["It blinks.", "It hums."]}), stream)
    return stream.getvalue()


SAMPLES = {
    ".pdf": make_pdf([[(10, "It blinks twice a day.")]]),
    ".docx": make_docx(),
    ".pptx": make_pptx(),
    ".xlsx": make_xlsx(formula=True),
    ".epub": make_epub(),
    ".eml": message("It blinks.", html="<p>It blinks.</p>").as_bytes(),
    ".mbox": b"From a\n" + message("It blinks.").as_bytes() + b"\n",
    ".ipynb": make_notebook([code("x = 1", {"output_type": "stream", "text": ["1"]})]),
    ".html": b"<html><body><table><tr><td>It blinks.</table><ul><li>x</ul>",
    ".md": b"---\ntitle: x\n---\n# A\n\n* b\n\n| a | b |\n|---|---|\n| c | d |\n",
    ".rst": b"A\n=\n\n.. note:: x\n\n* b\n",
    ".py": b"def f():\n    return 1\n",
    ".jsonl": json.dumps({"id": 1, "text": "It blinks.", "more": [{"a": None}]}).encode(),
    ".csv": b'id;text\n1;"It\nblinks."\n',
    ".parquet": make_parquet(),
}


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return data that is cut, has bytes changed, a part repeated, or, in an archive, one file so changed."""
    kind = rng.randrange(5)
    if kind == 0:
        return data[: rng.randrange(len(data))]
    if kind == 4 and data.startswith(b"PK"):
        stream = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
            chosen = rng.choice(old.namelist())
            for name in old.namelist():
                content = old.read(name)
                new.writestr(name, damaged(content, rng) if name == chosen and content else content)
        return stream.getvalue()
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        place = rng.randrange(len(changed))
        if kind == 1:
            changed[place] = rng.randrange(256)
        elif kind == 2:
            changed[place:place] = rng.choice((b"\x00", b"\xff\xfe", b'"', b"<", b"{" * 50, b"\n" * 3))
        else:
            changed[place:place] = changed[place : place + rng.randrange(1, 60)]
    return bytes(changed)


def test_every_kind_of_format_has_a_sample() -> None:
    kinds = {reader: suffix for suffix, reader in {**READERS, **COLLECTIONS}.items()}
    sampled = {reader for table in (READERS, COLLECTIONS) for suffix, reader in table.items() if suffix in SAMPLES}
    assert {suffix for reader, suffix in kinds.items() if reader not in sampled} == {".text"}  # any bytes are text


@pytest.mark.parametrize("suffix", SAMPLES)
def test_damaged_file_is_read_or_named(suffix: str, tmp_path: Path) -> None:
    rng = random.Random(suffix)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(SAMPLES[suffix])
    assert list(read_documents(path.name, path, ()))
    for _ in range(TRIES):
        path.write_bytes(damaged(SAMPLES[suffix], rng))
        try:
            list(read_documents(path.name, path, ()))
        except UnreadableError as error:
            assert error.what


@pytest.mark.parametrize("suffix", sorted({*READERS, *COLLECTIONS}))
def test_pointer_that_git_leaves_in_place_of_a_large_file_is_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"manual{suffix}"
    path.write_bytes(LFS_POINTER + b"\noid sha256:0123\nsize 786915409\n")
    with pytest.raises(UnreadableError, match="git lfs pull"):
        list(read_documents(path.name, path, ()))
