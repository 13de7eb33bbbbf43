"""How the tests talk to Triton: gRPC requests with arbitrary bytes, and the metrics."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import urllib3
from tritonclient.grpc import InferenceServerClient, InferInput

NUMBERS = {np.dtype(np.int32): "INT32", np.dtype(np.int64): "INT64"}


def tensor(name: str, values: Any) -> InferInput:
    array = np.asarray(values)
    kind = NUMBERS.get(array.dtype, "BYTES")
    result = InferInput(name, list(array.shape), kind)
    result.set_data_from_numpy(array if kind != "BYTES" else array.astype(object))
    return result


def rows(values: Sequence[Any]) -> np.ndarray:
    """Return one value per row, of shape (n, 1); bytes are kept as they are, trailing null bytes included."""
    if isinstance(values[0], int):
        return np.array(values, dtype=np.int32).reshape(-1, 1)
    column = np.empty((len(values), 1), dtype=object)
    column[:, 0] = [value.encode() if isinstance(value, str) else value for value in values]
    return column


def inputs(
    texts: Sequence[str | bytes], types: Sequence[str] | None = None, sizes: Sequence[int] | None = None
) -> list[InferInput]:
    columns = {"TEXT": texts, "INPUT_TYPE": types, "DIMENSIONS": sizes}
    return [tensor(name, rows(values)) for name, values in columns.items() if values is not None]


def embed(client: InferenceServerClient, *arguments: Any) -> np.ndarray:
    return client.infer("embedtune", inputs(*arguments)).as_numpy("EMBEDDING")


def metric(port: int, name: str, model: str) -> float:
    """Return the value of a counter of a model."""
    text = urllib3.request(
        "GET", f"http://127.0.0.1:{port}/metrics", headers={"Connection": "close"}
    ).data.decode()
    (line,) = [line for line in text.splitlines() if line.startswith(f'{name}{{model="{model}",')]
    return float(line.rpartition(" ")[2])
