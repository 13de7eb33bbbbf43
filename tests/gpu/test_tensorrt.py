"""TensorRT engines, where a GPU and the package tensorrt are: built, compared with PyTorch, and recorded."""

import importlib.util
import json
from pathlib import Path

import pytest

from tests.support.export_case import make_export_case

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU")
    if importlib.util.find_spec("tensorrt") is None:
        pytest.skip("no package tensorrt: it is in the image gpu")


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("fp16", 0.999), ("int8", 0.97)])
def test_an_engine_passes_the_gate_and_says_what_it_was_built_for(
    tmp_path: Path, precision: str, least: float
) -> None:
    import tensorrt
    import torch

    case = make_export_case(tmp_path)
    report = case.run(target="tensorrt", precision=precision, tensorrt_batch=8)
    assert report.metrics[f"min_cosine_{precision}"] >= least
    record = json.loads((tmp_path / "engine" / "engine.json").read_text())
    major, minor = torch.cuda.get_device_capability()
    assert (record["file"], record["precision"], record["max_batch_size"]) == ("model.plan", precision, 8)
    assert record["tensorrt_version"] == tensorrt.__version__
    assert record["compute_capability"] == f"{major}.{minor}"
    assert (tmp_path / "engine" / "model.plan").stat().st_size > 0
    assert not (tmp_path / "engine" / "model.onnx").exists()
