"""Downloads a release: every file is verified, and an interrupted download goes on where it was."""

import logging
import shutil
from pathlib import Path

from embedtune.core.artifacts import file_sha256
from embedtune.core.errors import ArtifactError
from embedtune.core.records.base import read_record, render_record
from embedtune.serve.release.record import Release, read_release, require_id, short
from embedtune.serve.store.objects import Objects, file_below
from embedtune.serve.store.records import Published

log = logging.getLogger(__name__)


def record_file(into: Path, name: str) -> Path:
    """Return where the record of a downloaded release is, with its signature: next to its directory."""
    return into / f"{name}.json"


def known_release(into: Path, name: str) -> Published | None:
    """Return the record of a release that was downloaded before; None: there is none of use."""
    try:
        found = read_record(record_file(into, name), Published)
        require_id(found.release, name, str(record_file(into, name)))
    except ArtifactError:
        return None
    return found


def remember_release(into: Path, published: Published) -> None:
    """Write the record of a release next to where it is downloaded to."""
    into.mkdir(parents=True, exist_ok=True)
    file = record_file(into, published.id)
    draft = file.with_name(f".{file.name}.draft")
    draft.write_text(render_record(published))
    draft.replace(file)


def download_release(objects: Objects, published: Published, into: Path) -> Release:
    """Download a release to `into/ID`; a partial directory is never visible.

    Args:
        objects: The store.
        published: The release.
        into: Folder for releases.

    Raises:
        InputError: The store does not answer.
        ArtifactError: A file in the store differs from its hash.
    """
    name = published.id
    target, draft = into / name, into / f".{name}.draft"
    if target.is_dir():
        try:
            return read_release(target, name)
        except ArtifactError as error:
            log.warning("downloading release %s again: %s", short(name), error.what)
            shutil.rmtree(target)
    resumed = draft.is_dir()
    try:
        _fetch(objects, published, draft)
    except ArtifactError:
        shutil.rmtree(draft, ignore_errors=True)
        if not resumed:
            raise
        log.warning("downloading release %s from the start: what was there of it is damaged", short(name))
        _fetch(objects, published, draft)
    draft.replace(target)
    return Release(target, published.release)


def _fetch(objects: Objects, published: Published, draft: Path) -> None:
    hashes = published.release.hashes
    for path, digest in hashes.items():
        file = file_below(draft, path)
        if file.is_file() and file_sha256(file) == digest:
            continue
        if (got := objects.download(published.data + path, file)) != digest:
            raise ArtifactError(
                f"release {short(published.id)} is damaged in the store",
                got=f"{path}: {got}",
                expected=digest,
                fix="switch to another release; delete this one and publish it again",
            )
    for other in draft.rglob("*"):
        if other.is_file() and other.relative_to(draft).as_posix() not in hashes:
            other.unlink()
