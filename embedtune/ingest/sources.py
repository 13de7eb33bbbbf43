"""Finds the documents in a folder: the files whose format is known, by path, each with its hash."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from embedtune.core.artifacts import file_sha256
from embedtune.core.config.ingest import IngestSettings
from embedtune.core.config.records import RecordSettings
from embedtune.core.errors import InputError
from embedtune.core.progress import Progress
from embedtune.ingest.blocks import UnreadableError
from embedtune.ingest.reading import HINTS, READERS, check_columns, holds_several, record_settings


@dataclass(frozen=True)
class Source:
    """A file that may be a document.

    Args:
        name: Its path relative to the folder, with slashes.
        path: Its path on this machine.
        sha256: The hash of its content.
    """

    name: str
    path: Path
    sha256: str


def document_id(name: str) -> str:
    """Return the id of a document: the first twelve hex digits of the hash of its path."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Skipped:
    """A file that is not read, and the reason."""

    path: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """The files found in a folder."""

    sources: list[Source]
    skipped: list[Skipped]

    @property
    def fingerprint(self) -> str:
        """A hash that changes when a document is added, removed, renamed or edited, or another file is skipped."""
        record = [[[item.name, item.sha256] for item in self.sources], [item.path for item in self.skipped]]
        return hashlib.sha256(json.dumps(record).encode()).hexdigest()


def list_sources(folder: Path, settings: IngestSettings, progress: Progress) -> Listing:
    """Return the documents in a folder, by path. Hidden files and links that lead out of it are ignored.

    Args:
        folder: The folder to search.
        settings: The largest file and the largest number of documents.
        progress: Updated once per document.

    Raises:
        InputError: The folder does not exist.
    """
    if not folder.is_dir():
        raise InputError(
            "the folder of documents does not exist", got=str(folder), expected="a folder or s3://bucket/prefix"
        )
    chosen: list[tuple[str, Path]] = []
    skipped: list[Skipped] = []
    for name, path in sorted(_files(folder)):
        reason = _refusal(folder, name, path, settings)
        if reason is not None:
            skipped.append(Skipped(name, reason))
        else:
            chosen.append((name, path))
    sources: list[Source] = []
    with progress.task("hash documents", len(chosen[: settings.limit]), "documents") as task:
        for name, path in chosen[: settings.limit]:
            try:
                sources.append(Source(name, path, file_sha256(path)))
            except OSError as error:
                skipped.append(Skipped(name, f"cannot be opened: {error.strerror}"))
            task.advance()
    return Listing(sources, sorted(skipped, key=lambda item: item.path))


def check_records(listing: Listing, settings: tuple[RecordSettings, ...]) -> None:
    """Check the settings of records against the files, before anything is read.

    Args:
        listing: The documents.
        settings: How records are read (`ingest.records`).

    Raises:
        InputError: A pattern fits no file, or a file does not have the columns that are named for it.
    """
    tables = [source for source in listing.sources if holds_several(source.name, settings)]
    used = [record_settings(source.name, settings) for source in tables]
    for entry in settings:
        if entry not in used:
            raise InputError(
                f"ingest.records names {entry.files}, but there is no such file, or an earlier entry takes it",
                got=", ".join(source.name for source in tables[:10]) or "no file of records",
                expected="a pattern that fits a path in the folder, such as tickets/*.csv",
            )
    for source in tables:
        with suppress(UnreadableError):  # it is listed as skipped when it is read
            check_columns(source.name, source.path, settings)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        for name in [*names, *links]:
            if not name.startswith("."):
                path = Path(root) / name
                relative = os.fsencode(path.relative_to(folder).as_posix())
                yield relative.decode("utf-8", "replace"), path


def _refusal(folder: Path, name: str, path: Path, settings: IngestSettings) -> str | None:
    """Return why a file is not read, or None if it is."""
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        return "a link to a place outside the folder"
    if path.is_dir():
        return "a link to a folder"
    if not path.is_file():
        return "not a regular file, or a broken link"
    suffix = path.suffix.lower()
    if any(fnmatchcase(name, pattern) for pattern in settings.exclude):
        return "excluded (ingest.exclude)"
    if holds_several(name, settings.records):
        return None
    if suffix not in READERS:
        hint = f": {HINTS[suffix]}" if suffix in HINTS else ""
        return f"format {suffix or '(no extension)'} is not supported{hint}"
    size = path.stat().st_size
    if size > settings.max_file_mb * (1 << 20):
        return f"too large: {size / (1 << 20):.1f} MB, at most {settings.max_file_mb:g} MB are allowed"
    return None
