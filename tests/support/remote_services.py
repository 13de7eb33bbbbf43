"""Two real servers on free ports that answer like Triton and like an OpenAI-compatible gateway, and can misbehave.

The vector of a text depends only on the text and the input type, so that tests can compute it.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor

DIMENSION = 8


def vector_of(text: str, input_type: str, dimension: int = DIMENSION) -> np.ndarray:
    """Return the unit vector that both servers return for a text."""
    seed = int.from_bytes(hashlib.sha256(f"{input_type}: {text}".encode()).digest()[:4])
    vector = np.random.default_rng(seed).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@dataclass
class Traffic:
    """What a server was asked, and what it does wrong.

    Args:
        faults: One fault per request, first to last; after that, all requests succeed.
        change: Applied to the vectors of each response.
        dimension: Dimension of the vectors.
    """

    faults: list[Any] = field(default_factory=list)
    change: Callable[[np.ndarray], np.ndarray] = lambda vectors: vectors
    dimension: int = DIMENSION
    batches: list[tuple[str, list[str]]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self) -> Any:
        with self.lock:
            return self.faults.pop(0) if self.faults else None

    def vectors(self, texts: list[str], input_type: str) -> np.ndarray:
        with self.lock:
            self.batches.append((input_type, texts))
        return self.change(np.stack([vector_of(text, input_type, self.dimension) for text in texts]))


class _Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, record: Traffic, max_batch_size: int) -> None:
        self.record = record
        self.max_batch_size = max_batch_size

    def ModelConfig(self, request, context):
        reply = service_pb2.ModelConfigResponse()
        reply.config.max_batch_size = self.max_batch_size
        return reply

    def ModelInfer(self, request, context):
        if fault := self.record.fault():
            context.abort(*fault)
        texts, types = (
            [item.decode() for item in deserialize_bytes_tensor(raw)] for raw in request.raw_input_contents
        )
        assert len(set(types)) == 1
        vectors = self.record.vectors(texts, types[0])
        reply = service_pb2.ModelInferResponse(model_name=request.model_name)
        output = reply.outputs.add(name="EMBEDDING", datatype="FP32", shape=vectors.shape)
        assert output.name == request.outputs[0].name
        reply.raw_output_contents.append(vectors.astype(np.float32).tobytes())
        return reply


@contextmanager
def fake_triton(record: Traffic, max_batch_size: int = 64) -> Iterator[str]:
    """Serve on a free port; yields host:port."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Triton(record, max_batch_size), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@contextmanager
def fake_gateway(record: Traffic) -> Iterator[str]:
    """Serve on a free port; yields http://host:port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            record.keys.append(self.headers["authorization"])
            status, reply = record.fault() or (200, None)
            if self.path != "/v1/embeddings":
                status, reply = 404, {"error": {"message": f"no page {self.path}"}}
            if reply is None:
                vectors = record.vectors(body["input"], body["input_type"])
                # Not in order: the index says which text a vector belongs to.
                rows = [
                    {"object": "embedding", "index": n, "embedding": v.tolist()} for n, v in enumerate(vectors)
                ]
                usage = {"prompt_tokens": 1, "total_tokens": 1}
                reply = {"object": "list", "model": body["model"], "data": rows[::-1], "usage": usage}
            data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Retry-After-Ms", "10")
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
