"""The contents of a work directory: which artifacts are present, and whether they belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from embedtune.core.artifacts import MANIFEST, SCHEMAS, Manifest, read_manifest
from embedtune.core.errors import InputError, OtherVersionError
from embedtune.core.records.base import JsonRecord, read_record

R = TypeVar("R", bound=JsonRecord)


@dataclass(frozen=True)
class Work:
    """The finished artifacts of a work directory, in the order of the stages.

    Args:
        path: The work directory.
        manifests: The manifest of each artifact that can be read.
        left_out: Artifacts that a different version of embedtune wrote.
    """

    path: Path
    manifests: dict[str, Manifest]
    left_out: tuple[str, ...] = ()

    def record(self, artifact: str, file: str, kind: type[R]) -> R | None:
        """Read a JSON record of an artifact, or return None if the artifact is not present.

        Raises:
            ArtifactError: The record is missing from the artifact, damaged, or of another version.
        """
        return read_record(self.path / artifact / file, kind) if artifact in self.manifests else None

    def rows(self, artifact: str, file: str, columns: Sequence[str]) -> list[dict[str, Any]]:
        """Read columns of a Parquet file of an artifact; no rows if it is not present.

        Rows have the form that pyarrow's `to_pylist` gives them: values by column name.
        """
        import pyarrow.parquet as pq

        path = self._file(artifact, file)
        rows: list[dict[str, Any]] = pq.read_table(path, columns=list(columns)).to_pylist() if path else []
        return rows

    def count(self, artifact: str, file: str) -> int | None:
        """Return the number of rows of a Parquet file of an artifact, or None if it is not present."""
        import pyarrow.parquet as pq

        path = self._file(artifact, file)
        return int(pq.read_metadata(path).num_rows) if path else None

    def text(self, artifact: str, file: str) -> str | None:
        """Read a text file of an artifact, or return None if it is not present."""
        path = self._file(artifact, file)
        return path.read_text(encoding="utf-8") if path else None

    def _file(self, artifact: str, file: str) -> Path | None:
        path = self.path / artifact / file
        return path if artifact in self.manifests and path.is_file() else None

    def disagreements(self) -> list[str]:
        """Name each artifact that does not belong to the others, because of its inputs or its format."""
        return [
            f"{name} was written by a different version of embedtune and is left out; "
            f"run `embedtune {SCHEMAS[name].stage}` again"
            for name in self.left_out
        ] + [
            f"{name} was not made from the {made_from} artifact in this directory; "
            f"run `embedtune {SCHEMAS[name].stage}` again"
            for name, manifest in self.manifests.items()
            for made_from, fingerprint in manifest.inputs.items()
            if made_from in self.manifests and self.manifests[made_from].fingerprint != fingerprint
        ]


def open_work(path: Path) -> Work:
    """Open a work directory.

    Raises:
        InputError: The directory contains no artifact.
        ArtifactError: A manifest is damaged, or all are of another version.
    """
    present = [name for name in SCHEMAS if (path / name / MANIFEST).is_file()]
    if not present:
        raise InputError(
            "there is nothing to report",
            got=str(path),
            expected=f"a work directory with at least one of {', '.join(SCHEMAS)}",
            fix="run `embedtune run DOCS --work DIR` first",
        )
    manifests: dict[str, Manifest] = {}
    other_version: dict[str, OtherVersionError] = {}
    for name in present:
        try:
            manifests[name] = read_manifest(path / name, name)
        except OtherVersionError as error:
            other_version[name] = error
    if not manifests:
        raise other_version[present[0]]
    return Work(path, manifests, tuple(other_version))
