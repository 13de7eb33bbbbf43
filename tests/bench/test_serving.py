"""The benchmarks of the endpoint start real servers, ask them and print their tables; here of a tiny model."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from embedtune.serve.triton.installation import Installation
from tests.support.tiny_engine import WORDS
from tests.support.tiny_model import TINY_DIMENSION, tiny_contract

BENCH = Path(__file__).parents[2] / "bench"


def run(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH / script), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_overload_counts_what_is_answered_and_what_is_refused(engine: Path, installation: Installation) -> None:
    done = run("overload.py", f"--engine={engine}", "--seconds=6")
    assert done.returncode in (0, 1), done.stderr  # 1: the ratios, which this short run does not judge
    assert re.search(r"^capacity [\d,]+ tokens/s; offered 3 times that; deadline 30 s$", done.stdout, re.MULTILINE)
    answered = re.search(r"^bulk: (\d+) x 200", done.stdout, re.MULTILINE)
    assert answered is not None, done.stdout
    assert int(answered[1]) > 0


@pytest.fixture(scope="module")
def model(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the tiny engine, with its contract."""
    base = engine.with_name(f"{engine.name}-base")
    model = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(base, model)
    tiny_contract(base, (TINY_DIMENSION, 16)).save(model)
    return model


def test_serve_measures_triton_and_the_gateway_beside_the_ceiling(
    model: Path, engine: Path, installation: Installation, tmp_path: Path
) -> None:
    text = " ".join(WORDS[place % len(WORDS)] for place in range(500))
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"_id": "p", "title": "", "text": text}) + "\n")
    options = [f"--model={model}", f"--dataset={tmp_path}", f"--engine={engine}", f"--int8={engine}"]
    # Ours alone: the names of those that are measured have a capital T.
    done = run("serve.py", *options, "--seconds=0.5", "--rounds=1", "--only=T")
    assert done.returncode == 0, done.stderr
    for name in ("Triton, gRPC", "gateway, HTTP", "Triton int8, gRPC"):
        assert f"{name}: minimum cosine to PyTorch 1.0000" in done.stdout
        assert len(re.findall(rf"^{name} +(?:1|8|64) +\d", done.stdout, re.MULTILINE)) == 3
    assert re.search(r"^ceiling: ONNX Runtime alone +[\d.]+ ", done.stdout, re.MULTILINE)
