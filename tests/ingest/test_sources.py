import hashlib
import os
from pathlib import Path

import pytest

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.errors import InputError
from embedtune.core.progress import SilentProgress
from embedtune.ingest.sources import Listing, document_id, list_sources


def listing(folder: Path, limit: int | None = None, max_file_mb: float = 1.0) -> Listing:
    return list_sources(folder, IngestSettings(limit=limit, max_file_mb=max_file_mb), SilentProgress())


def reasons(found: Listing) -> dict[str, str]:
    return {item.path: item.reason for item in found.skipped}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.md", "sub/a.TXT", "a.rst", "Z.html"):
        (folder / name).write_text(name)
    return folder


def test_documents_are_listed_by_path_with_their_hashes(docs: Path) -> None:
    found = listing(docs)
    assert [item.name for item in found.sources] == ["Z.html", "a.rst", "b.md", "sub/a.TXT"]
    assert found.sources[2].sha256 == hashlib.sha256(b"b.md").hexdigest()
    assert document_id(found.sources[3].name) == hashlib.sha256(b"sub/a.TXT").hexdigest()[:12]
    assert found.skipped == []


def test_limit_takes_the_first_by_path(docs: Path) -> None:
    assert [item.name for item in listing(docs, limit=2).sources] == ["Z.html", "a.rst"]


def test_other_files_are_listed_as_skipped_and_hidden_files_are_not(docs: Path) -> None:
    (docs / "logo.png").write_bytes(b"x")
    (docs / "LICENSE").write_text("x")
    (docs / "large.md").write_bytes(b"x" * 2**20)
    (docs / ".hidden.md").write_text("x")
    (docs / ".git").mkdir()
    (docs / ".git" / "x.md").write_text("x")
    os.mkfifo(docs / "pipe.md")
    assert reasons(listing(docs, max_file_mb=0.5)) == {
        "logo.png": "format .png is not supported",
        "LICENSE": "format (no extension) is not supported",
        "large.md": "too large: 1.0 MB, at most 0.5 MB are allowed",
        "pipe.md": "not a regular file, or a broken link",
    }


def test_links_out_of_the_folder_are_not_followed(docs: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("secret")
    (tmp_path / "other").mkdir()
    (docs / "out.md").symlink_to(secret)
    (docs / "folder").symlink_to(tmp_path / "other")
    (docs / "broken.md").symlink_to(docs / "nowhere.md")
    (docs / "inside.md").symlink_to(docs / "b.md")
    found = listing(docs)
    assert "inside.md" in [item.name for item in found.sources]
    assert reasons(found) == {
        "out.md": "a link to a place outside the folder",
        "folder": "a link to a place outside the folder",
        "broken.md": "not a regular file, or a broken link",
    }


def test_fingerprint_depends_on_names_and_content_not_on_the_folder(docs: Path, tmp_path: Path) -> None:
    first = listing(docs).fingerprint
    moved = docs.rename(tmp_path / "elsewhere")
    assert listing(moved).fingerprint == first
    (moved / "b.md").write_text("edited")
    edited = listing(moved).fingerprint
    (moved / "b.md").rename(moved / "c.md")
    assert len({first, edited, listing(moved).fingerprint}) == 3


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        listing(tmp_path / "nowhere")
