"""The champion is read from a copy: nothing but the files of its manifest may decide what is promoted."""

from pathlib import Path

from embedtune.core.artifacts import MANIFEST, file_sha256, read_manifest
from embedtune.core.errors import ArtifactError
from embedtune.core.records.training import SEEDS_FOLDER


def require_unchanged(champion: Path) -> None:
    """Verify every file of a model artifact; a copy need not hold the models of its further training seeds.

    Args:
        champion: Directory of the model. One without a manifest passes; deploy does not accept it as the live one.

    Raises:
        ArtifactError: A file is missing or was changed.
    """
    if not (champion / MANIFEST).is_file():
        return
    for name, record in read_manifest(champion, "model").files.items():
        file = champion / name
        if name.startswith(f"{SEEDS_FOLDER}/"):
            continue
        if not file.is_file() or file_sha256(file) != record.sha256:
            raise ArtifactError(
                "a file of the champion is missing or was changed after it was written",
                got=str(file),
                expected=record.sha256,
                fix="name another copy of the live model",
            )
