"""How the endpoint model runs its encoder: with ONNX Runtime in its own process, or as another model of Triton.

Like triton_model.py it is copied into a model repository, and imports no other module of embedtune.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
# The encoder: ids, mask and dimensions of a batch in; out one unit vector per text, 0 beyond its dimensions.
Run = Callable[[Ints, Ints, Ints], Floats]
# On a CPU this fusion makes the graph slower: ONNX Runtime 1.32 adds and normalises faster in two steps.
SLOW_FUSIONS = ["SkipLayerNormFusion"]


def onnx_runner(path: Path, threads: int, place: int) -> Run:
    """Return the encoder, run by ONNX Runtime in this process; copies with the same `place` take turns."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Threads that spin while they wait for the next call would take the cores from the copy whose turn it is.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Not the model's file: its file system may have no locks. The server's process id keeps two servers apart.
    lock = Path(tempfile.gettempdir(), f"embedtune-turn-{os.getppid()}-{place}")
    turn = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    session = onnxruntime.InferenceSession(
        path, options, ["CPUExecutionProvider"], disabled_optimizers=SLOW_FUSIONS
    )

    def run(ids: Ints, mask: Ints, dimensions: Ints) -> Floats:
        feeds = {"input_ids": ids, "attention_mask": mask, "dimensions": dimensions}
        fcntl.flock(turn, fcntl.LOCK_EX)
        try:
            return session.run(["embeddings"], feeds)[0]  # type: ignore[no-any-return]
        finally:
            fcntl.flock(turn, fcntl.LOCK_UN)

    return run


def model_runner(name: str) -> Run:
    """Return the encoder, run by another model of this server (ONNX Runtime or TensorRT backend)."""

    def run(ids: Ints, mask: Ints, dimensions: Ints) -> Floats:
        feeds = {"input_ids": ids, "attention_mask": mask, "dimensions": dimensions}
        request = pb_utils.InferenceRequest(
            model_name=name,
            requested_output_names=["embeddings"],
            inputs=[pb_utils.Tensor(key, value) for key, value in feeds.items()],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise pb_utils.TritonModelException(f"the encoder failed: {response.error().message()}")
        vectors: Floats = pb_utils.get_output_tensor_by_name(response, "embeddings").as_numpy()
        return vectors

    return run


def usable_cpus(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return how many processors this process may use, by its affinity and its control group's quota."""
    cpus = len(os.sched_getaffinity(0))
    if quota.is_file() and (words := quota.read_text().split())[0] != "max":
        cpus = min(cpus, max(1, round(int(words[0]) / int(words[1]))))
    return cpus
