"""Engines that are exported once for all tests: tracing a model takes seconds."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from embedtune.core.config.export import ExportSettings
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.onnx import OnnxEncoder
from embedtune.core.encoders.precision import int8_saturates
from embedtune.core.encoders.pytorch import TorchEncoder, load_model
from embedtune.export.engine import export_engine
from tests.support.tiny_model import make_tiny_llama, make_tiny_model, tiny_contract

RUNTIME = RuntimeSettings(device="cpu", encode_batch_size=8)
SIZES = (32, 16, 8)
exact_int8 = pytest.mark.skipif(int8_saturates(), reason="8-bit products saturate: this CPU has no VNNI")


@dataclass(frozen=True)
class Exported:
    """A model and the engine that was exported from it."""

    base: Path
    engine: Path
    contract: EncoderContract

    @property
    def torch(self) -> TorchEncoder:
        return TorchEncoder(self.base, self.contract, RUNTIME)

    @property
    def onnx(self) -> OnnxEncoder:
        return OnnxEncoder(self.engine, RUNTIME)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def bert(tmp_path_factory) -> Exported:
    root = tmp_path_factory.mktemp("bert")
    return export(root, make_tiny_model(root / "base"), ExportSettings())


@pytest.fixture(scope="session")
def llama(tmp_path_factory) -> Exported:
    """A bidirectional model with mean pooling, whose weights are in a file next to the graph."""
    root = tmp_path_factory.mktemp("llama")
    base = make_tiny_llama(root / "base")
    return export(root, base, ExportSettings(external_data_mb=0, opset=18), pooling="mean")


def export(root: Path, base: Path, settings: ExportSettings, **contract: object) -> Exported:
    whole = tiny_contract(base, SIZES).model_copy(update=contract)
    (root / "engine").mkdir()
    export_engine(base, whole, root / "engine", settings)
    return Exported(base, root / "engine", whole)


@pytest.fixture
def loaded(bert):
    return load_model(bert.base, bert.contract, RUNTIME)
