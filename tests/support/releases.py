"""Small releases, their publication, and keys to sign them with."""

import subprocess
from pathlib import Path

from embedtune.core.records.base import write_record
from embedtune.serve.release.record import RELEASE_FILE, Release, read_release
from embedtune.serve.store.records import Published
from embedtune.serve.store.store import ReleaseStore
from tests.support.serving_world import release_record


def make_release(path: Path, files: dict[str, bytes]) -> Release:
    """Write a release with any files."""
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    write_record(path / RELEASE_FILE, release_record(path))
    return read_release(path)


def publish(store: ReleaseStore, path: Path, text: str) -> Published:
    files = {"model.onnx": text.encode(), "reference.parquet": b"rows"}
    return store.publish(make_release(path / text, files), "m" + text)


def key_pair(folder: Path, kind: str = "ed25519") -> tuple[Path, str]:
    """Return a private key's file and the text of the public one, made as docs/deploying.md says."""
    private, public = folder / f"{kind}.pem", folder / f"{kind}.pub"
    folder.mkdir(parents=True, exist_ok=True)
    for command in (
        f"openssl genpkey -algorithm {kind} -out {private}",
        f"openssl pkey -in {private} -pubout -out {public}",
    ):
        subprocess.run(command.split(), check=True, capture_output=True)
    return private, public.read_text()
