"""TensorRT engines, given a GPU and the tensorrt package: built, compared with PyTorch, and recorded."""

import importlib.util
from pathlib import Path

import pytest

from embedtune.core.records.base import read_record
from embedtune.core.records.engine import ENGINE_FILE, Engine
from tests.support.export_case import make_export_case

pytestmark = pytest.mark.gpu
LEAST = [("fp32", 0.9999), ("fp16", 0.999), ("bf16", 0.999), ("int8", 0.97)]


@pytest.fixture(autouse=True)
def _gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU")
    if importlib.util.find_spec("tensorrt") is None:
        pytest.skip("no tensorrt package: the gpu image has it")


@pytest.mark.parametrize(("precision", "least"), LEAST)
def test_an_engine_passes_the_gate_and_records_what_it_was_built_for(
    tmp_path: Path, precision: str, least: float
) -> None:
    import tensorrt
    import torch

    case = make_export_case(tmp_path)
    report = case.run(target="tensorrt", precision=precision, tensorrt_batch=8)
    assert report.metrics[f"min_cosine_{precision}"] >= least
    built = read_record(tmp_path / "engine" / ENGINE_FILE, Engine)
    major, minor = torch.cuda.get_device_capability()
    assert (built.file, built.precision, built.max_batch_size) == ("model.plan", precision, 8)
    assert built.tensorrt_version == tensorrt.__version__
    assert built.compute_capability == f"{major}.{minor}"
    assert (tmp_path / "engine" / "model.plan").stat().st_size > 0
    assert not (tmp_path / "engine" / "model.onnx").exists()
