"""The image `triton` installs requirements/serve.txt only: what runs in it may import nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Run in another process, with the module as argument: refuses every package whose distribution the lock lacks.
REFUSING = """
import importlib.abc, importlib.metadata as metadata, runpy, sys
locked = set(sys.argv[2].split())
lacking = {
    module
    for module, names in metadata.packages_distributions().items()
    if not any(name.lower().replace("_", "-").replace(".", "-") in locked for name in names)
}
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in lacking:
            raise ModuleNotFoundError(f"the lock has no {name}", name=name)
sys.meta_path.insert(0, Refuse())
importlib.import_module(sys.argv[1])
"""


@pytest.mark.parametrize(
    "module",
    [
        "embedtune.serve.gateway.app",
        "embedtune.serve.gateway.__main__",
        "embedtune.serve.gateway.playground",
        "embedtune.serve.pod",
    ],
)
def test_what_serves_imports_only_what_its_image_has(module: str) -> None:
    lock = (ROOT / "requirements" / "serve.txt").read_text(encoding="utf-8")
    locked = [
        name.lower().replace("_", "-") for name in re.findall(r"^([\w.-]+)(?:\[.*?\])?==", lock, re.MULTILINE)
    ]
    command = [sys.executable, "-c", REFUSING, module, " ".join([*locked, "embedtune"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
