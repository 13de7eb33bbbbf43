"""The model that clients of Triton's own ports ask: it passes each request on to the release that is live.

Like triton_model.py it is copied into a model repository, and imports only NumPy and Triton's module (untyped,
hence `Any`). It applies the rules of `embedtune.serve.replica.serving`, whose file it reads without pydantic.
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

INPUTS, OUTPUTS = ("TEXT", "INPUT_TYPE", "DIMENSIONS", "TRUNCATE"), ("EMBEDDING", "TOKENS")
RELEASE = "RELEASE"  # the output that names the release
SILENT_S, LONGEST_PAUSE_S = 30.0, 2.0  # see embedtune.serve.replica.serving


def live_entry(serving: dict[str, Any], now: float) -> dict[str, Any] | None:
    """Return the release that is live and its endpoint model, or None if none may answer.

    Args:
        serving: The content of the file.
        now: The time, by the monotonic clock.
    """
    fence, pause, switch = serving["fence_at"], serving["pause_at"], serving["switch_at"]
    if now > serving["written"] + SILENT_S or (fence is not None and now > fence):
        return None
    if switch is not None and now >= switch:
        name = serving["next"]
    else:
        name = serving["live"] if pause is None or now < pause else None
    return next((entry for entry in serving["proven"] if entry["id"] == name), None)


def pause(serving: dict[str, Any], now: float) -> float:
    """Return how long a request should wait for a switch, in seconds. See `embedtune.serve.replica.serving`."""
    earliest, latest = serving["pause_at"], serving["switch_at"]
    if earliest is None or latest is None or not earliest <= now < latest:
        return 0.0
    return float(latest - now) if live_entry(serving, latest) else 0.0


class TritonPythonModel:
    """The class that Triton calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read where the file is."""
        self.file = Path(json.loads(args["model_config"])["parameters"]["serving"]["string_value"])
        self.seen: tuple[int, int] | None = None
        self.serving: dict[str, Any] = {}

    async def execute(self, requests: list[Any]) -> list[Any]:
        """Pass on the requests of one batch, each by itself: the endpoint model merges them again."""
        live = await self._live()
        return list(await asyncio.gather(*(self._pass_on(request, live) for request in requests)))

    async def _live(self) -> dict[str, Any] | None:
        """Return the live release, at a switch the next one as soon as it is live."""
        deadline = time.monotonic() + LONGEST_PAUSE_S
        while (wait := pause(self._read(), now := time.monotonic())) and now < deadline:
            await asyncio.sleep(min(wait, deadline - now))
        return live_entry(self._read(), time.monotonic())

    def _read(self) -> dict[str, Any]:
        found = self.file.stat()
        mark = (found.st_ino, found.st_mtime_ns)
        if mark != self.seen:
            self.serving, self.seen = json.loads(self.file.read_bytes()), mark
        return self.serving

    async def _pass_on(self, request: Any, live: dict[str, Any] | None) -> Any:
        if live is None:
            error = pb_utils.TritonError("no release is live", pb_utils.TritonError.UNAVAILABLE)
            return pb_utils.InferenceResponse(error=error)
        tensors = [pb_utils.get_input_tensor_by_name(request, name) for name in INPUTS]
        response = await pb_utils.InferenceRequest(
            model_name=live["model"],
            requested_output_names=list(OUTPUTS),
            inputs=[tensor for tensor in tensors if tensor is not None],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        ).async_exec()
        if response.has_error():
            return pb_utils.InferenceResponse(error=_same(response.error().message()))
        outputs = [pb_utils.get_output_tensor_by_name(response, name) for name in OUTPUTS]
        rows = len(pb_utils.get_input_tensor_by_name(request, INPUTS[0]).as_numpy())
        name = pb_utils.Tensor(RELEASE, np.full((rows, 1), live["id"].encode(), dtype=object))
        return pb_utils.InferenceResponse([*outputs, name])


def _same(message: str) -> Any:
    """Return an error with the status that the endpoint model gave it, which a passed on error has lost."""
    statuses = {
        "INVALID: ": pb_utils.TritonError.INVALID_ARG,
        "maximum queue size": pb_utils.TritonError.UNAVAILABLE,
    }
    status = next((status for part, status in statuses.items() if part in message), pb_utils.TritonError.INTERNAL)
    return pb_utils.TritonError(message, status)
