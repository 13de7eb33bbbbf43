"""The built image `triton`: EMBEDTUNE_TEST_IMAGE is its name, buildah opens it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

IMAGE = os.environ.get("EMBEDTUNE_TEST_IMAGE")
pytestmark = [
    pytest.mark.skipif(IMAGE is None, reason="EMBEDTUNE_TEST_IMAGE names no image"),
    pytest.mark.skipif(shutil.which("buildah") is None, reason="buildah is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount an image"),
]


def buildah(*arguments: str) -> str:
    return subprocess.run(["buildah", *arguments], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    container = buildah("from", "--pull=never", str(IMAGE))
    try:
        yield Path(buildah("mount", container))
    finally:
        buildah("rm", container)


@pytest.fixture(scope="module")
def about() -> dict[str, dict[str, dict[str, object]]]:
    found: dict[str, dict[str, dict[str, object]]] = json.loads(buildah("inspect", "--type", "image", str(IMAGE)))
    return found


def test_it_is_small(root: Path) -> None:
    files = (file.lstat() for file in root.rglob("*") if not file.is_dir())
    assert sum(file.st_size for file in files) < 700e6


def test_it_contains_what_serving_needs_and_nothing_for_training(root: Path) -> None:
    packages = {path.name for path in root.glob("opt/embedtune/lib/python3*/site-packages/*")}
    assert {"embedtune", "fastapi", "onnxruntime", "tokenizers", "tritonclient"} <= packages
    assert not packages & {"torch", "transformers", "sentence_transformers", "datasets", "faiss", "pytriton"}
    assert (root / "opt/triton/pytriton/tritonserver/bin/tritonserver").is_file()
    assert not list(root.glob("usr/bin/gcc*"))


def test_it_contains_no_secret_of_the_build(root: Path) -> None:
    assert not list(root.glob("run/secrets/*"))
    assert not list(root.rglob("pip.conf"))
    assert not list(root.rglob("with-ca"))


def test_its_processes_are_not_root(about: dict[str, dict[str, dict[str, object]]]) -> None:
    config = about["OCIv1"]["config"]
    assert config["User"] == "10001:10001"
    variables = {str(entry).partition("=")[0] for entry in config["Env"]}  # type: ignore[attr-defined]
    assert variables == {"PATH", "HOME", "PYTHONUNBUFFERED"}
