"""Loads, unloads and asks the models of a Triton server, over gRPC."""

from collections.abc import Sequence

import numpy as np
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import GateError
from embedtune.serve.release.proof import Kind

CLEAR = 2  # lines of Triton's error that say what happened


class Models:
    """The models of one Triton server.

    Args:
        address: host:port of its gRPC.
    """

    def __init__(self, address: str) -> None:
        self._client = grpc.InferenceServerClient(address)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def load(self, names: Sequence[str]) -> None:
        """Load models in this order, each warmed up; one that is loaded already is replaced without a gap.

        Raises:
            GateError: One cannot be loaded; those that were are unloaded.
        """
        for number, name in enumerate(names):
            try:
                self._client.load_model(name)
            except InferenceServerException as error:
                # A model that failed keeps the whole server from being ready.
                self.unload(names[: number + 1])
                reason = "\n".join(str(error.message()).strip().splitlines()[:CLEAR])
                raise GateError("Triton cannot load the release", got=reason, fix="see Triton's log") from error

    def unload(self, names: Sequence[str]) -> None:
        """Unload models, the last one first; requests in progress are answered, and unknown names are ignored."""
        for name in reversed(names):
            try:
                self._client.unload_model(name)
            except InferenceServerException as error:
                if "UNAVAILABLE" in str(error.status()):
                    return  # the server has ended, and its models with it

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
        inputs = [_strings("TEXT", texts), _strings("INPUT_TYPE", [kind] * len(texts))]
        try:
            vectors: Vectors = self._client.infer(name, inputs).as_numpy("EMBEDDING")
        except InferenceServerException as error:
            raise GateError("the release cannot encode its reference texts", got=error.message()) from error
        return vectors


def _strings(name: str, values: Sequence[str]) -> grpc.InferInput:
    tensor = grpc.InferInput(name, [len(values), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[value.encode()] for value in values], dtype=np.object_))
    return tensor
