"""A TensorRT engine: built on the GPU that serves it, from a graph that contains its precision."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embedtune.core.encoders.onnx import INPUTS, OUTPUT, Integers
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import ConfigError, EmbedtuneError

PLAN_FILE = "model.plan"
TYPICAL_BATCH, TYPICAL_LENGTH = 8, 128  # the kernels are optimised for these


@dataclass(frozen=True)
class Profile:
    """Shapes that an engine accepts: from one text of one token to the largest batch of the longest texts."""

    max_batch: int
    max_length: int

    def shapes(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Return the smallest, the typical and the largest (batch, length)."""
        typical = (min(TYPICAL_BATCH, self.max_batch), min(TYPICAL_LENGTH, self.max_length))
        return (1, 1), typical, (self.max_batch, self.max_length)


@dataclass(frozen=True)
class BuiltPlan:
    """The platform an engine was built with.

    Args:
        tensorrt_version: Version of the TensorRT that built it.
        compute_capability: Compute capability of the GPU that built it.
        max_batch_size: Largest batch that it accepts.
    """

    tensorrt_version: str
    compute_capability: str
    max_batch_size: int


def require_tensorrt() -> None:
    """Refuse early if no TensorRT engine can be built here.

    Raises:
        ConfigError: There is no NVIDIA GPU, or TensorRT is not installed.
    """
    import torch

    lacking = [] if torch.cuda.is_available() else ["no NVIDIA GPU"]
    lacking += [] if importlib.util.find_spec("tensorrt") else ["no tensorrt package"]
    if lacking:
        raise ConfigError(
            "a TensorRT engine cannot be built on this machine",
            got=" and ".join(lacking),
            expected="the GPU that will serve it, and the tensorrt version of its Triton image",
            fix="export in the gpu image, or set export.target=python-cpu and export.precision=fp32",
        )


def build_plan(graph: Path, plan: Path, profile: Profile) -> BuiltPlan:
    """Build an engine from an ONNX file.

    Args:
        graph: The encoder; the precision is the one in the graph.
        plan: File to write the engine to.
        profile: Shapes that it must accept.

    Raises:
        EmbedtuneError: TensorRT cannot read the graph or build the engine.
    """
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    # The default from TensorRT 11 on; earlier versions need the flag.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):  # from the file, so that it finds weights next to it
        errors = [str(parser.get_error(number)) for number in range(parser.num_errors)]
        raise EmbedtuneError("TensorRT cannot read the graph", got="; ".join(errors[:3]))
    config = builder.create_builder_config()
    config.add_optimization_profile(_profile(builder, profile))
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise EmbedtuneError("TensorRT could not build the engine", fix="see TensorRT's errors in the log above")
    plan.write_bytes(bytes(engine))
    return describe_plan(profile)


def describe_plan(profile: Profile) -> BuiltPlan:
    """Return the platform that an engine is built with on this machine."""
    import tensorrt as trt
    import torch

    major, minor = torch.cuda.get_device_capability()
    return BuiltPlan(str(trt.__version__), f"{major}.{minor}", profile.max_batch)


def _profile(builder: Any, profile: Profile) -> Any:  # TensorRT's own objects
    record = builder.create_optimization_profile()
    shapes = profile.shapes()
    for name in INPUTS[:2]:
        record.set_shape(name, *shapes)
    record.set_shape(INPUTS[2], *[(batch,) for batch, _ in shapes])
    return record


class TensorrtGraph:
    """Runs an engine on this GPU, to compare it with PyTorch.

    Args:
        plan: File of the engine.
        dimension: Size of its vectors.
    """

    def __init__(self, plan: Path, dimension: int) -> None:
        import tensorrt as trt

        # Kept alive: TensorRT holds no references to them.
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        if self._engine is None:
            raise EmbedtuneError("TensorRT cannot load the engine it built", got=str(plan))
        self._context = self._engine.create_execution_context()
        self._dimension = dimension

    def __call__(self, input_ids: Integers, attention_mask: Integers, dimensions: Integers) -> Vectors:
        """Return one unit vector per row."""
        import torch

        arrays = (input_ids, attention_mask, dimensions)
        tensors = {name: torch.from_numpy(array).cuda() for name, array in zip(INPUTS, arrays, strict=True)}
        for name, tensor in tensors.items():
            self._context.set_input_shape(name, tuple(tensor.shape))
        vectors = torch.empty((len(input_ids), self._dimension), dtype=torch.float32, device="cuda")
        for name, tensor in {**tensors, OUTPUT: vectors}.items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        stream = torch.cuda.current_stream()
        if not self._context.execute_async_v3(stream.cuda_stream):
            raise EmbedtuneError("the TensorRT engine failed", got=f"a batch of shape {input_ids.shape}")
        stream.synchronize()
        return np.asarray(vectors.cpu().numpy(), dtype=np.float32)
