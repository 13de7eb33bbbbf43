"""Loads, unloads and asks the models of a Triton server, over HTTP: its gRPC may have TLS."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import urllib3

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import GateError
from embedtune.serve.release.proof import Kind
from embedtune.serve.triton.exposure import control_headers
from embedtune.serve.triton.processes import all_alive, model_processes
from embedtune.serve.triton.server import EVERYWHERE, LOOPBACK, TritonServer

CLEAR = 2  # lines of Triton's error that say what happened
ASK_S = 120.0


class Models:
    """The models of one running Triton server, whose names need no quoting in a URL: Triton would not undo it.

    Args:
        server: The server.
    """

    def __init__(self, server: TritonServer) -> None:
        ports = server.ports
        host = LOOPBACK if ports.http_address == EVERYWHERE else ports.http_address
        self._url = f"http://{host}:{ports.http}/v2"
        # Without "close" the connection stays open, and Triton waits for it when it is told to end.
        self._headers = {**control_headers(server.control_key), "Connection": "close"}
        self._http = urllib3.PoolManager(retries=False)
        self._server = server
        self._processes: dict[str, frozenset[int]] = {}

    def load(self, names: Sequence[str]) -> None:
        """Load models in this order, each warmed up; one that is loaded already is replaced without a gap.

        Raises:
            GateError: One cannot be loaded; those that were are unloaded.
        """
        for number, name in enumerate(names):
            try:
                self._post(f"repository/models/{name}/load", {}, None)
            except GateError:
                self.unload(names[: number + 1])
                raise
            self._processes[name] = model_processes(self._server.pid, name)

    def whole(self) -> bool:
        """Return whether all processes of what is loaded are alive; requests to a dead one fail for good."""
        return all(all_alive(processes, self._server.pid) for processes in list(self._processes.values()))

    def unload(self, names: Sequence[str]) -> None:
        """Unload models, the last one first; requests in progress are answered, and unknown names are ignored."""
        for name in reversed(names):
            self._processes.pop(name, None)
            try:
                self._post(f"repository/models/{name}/unload", {}, None)
            except GateError:
                continue  # it was not loaded, or the server has ended and its models with it

    def embed(self, name: str, texts: Sequence[str], kind: Kind, batch: int) -> Vectors:
        """Embed texts.

        Args:
            name: The endpoint model.
            texts: The texts.
            kind: Of all of them.
            batch: Largest number of texts that the model accepts at once.

        Raises:
            GateError: The model refuses or fails.
        """
        parts = [self._infer(name, texts[start : start + batch], kind) for start in range(0, len(texts), batch)]
        return np.concatenate(parts)

    def _infer(self, name: str, texts: Sequence[str], kind: Kind) -> Vectors:
        columns = {"TEXT": list(texts), "INPUT_TYPE": [kind] * len(texts)}
        inputs = [
            {"name": column, "shape": [len(texts), 1], "datatype": "BYTES", "data": data}
            for column, data in columns.items()
        ]
        body = {"inputs": inputs, "outputs": [{"name": "EMBEDDING"}]}
        (output,) = self._post(f"models/{name}/infer", body, ASK_S)["outputs"]
        return np.asarray(output["data"], dtype=np.float32).reshape(output["shape"])

    def _post(self, path: str, body: object, timeout_s: float | None) -> dict[str, Any]:  # Any: Triton's JSON
        try:
            reply = self._http.request(
                "POST",
                f"{self._url}/{path}",
                body=json.dumps(body).encode(),
                headers=self._headers,
                timeout=urllib3.Timeout(timeout_s),
            )
        except urllib3.exceptions.HTTPError as error:
            raise GateError("Triton has ended, or does not answer", got=str(error), fix="see its log") from error
        answer: dict[str, Any] = json.loads(reply.data) if reply.data else {}
        if reply.status != 200:
            reason = "\n".join(str(answer.get("error", reply.status)).strip().splitlines()[:CLEAR])
            raise GateError("Triton cannot load or run the release", got=reason, fix="see Triton's log")
        return answer
