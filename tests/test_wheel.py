"""A wheel has every file of the packages that the tree has."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("embedtune", "components", "pipelines")
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "requirements/triton.txt")


def test_the_wheel_has_every_file_of_the_packages(tmp_path):
    pytest.importorskip("setuptools", reason="builds without a network")
    tree = tmp_path / "tree"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES, *BUILT_FROM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    names = [name for name in listed if name and (ROOT / name).is_file()]
    for name in names:  # a build writes into its tree
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert not [name for name in names if name.startswith(PACKAGES) and name not in packed]
