"""The load generator, `python -m serving.load` in a process of its own.

Each of N clients sends a text, waits for the answer, and sends the next. All systems get the same texts in the
same order. It counts complete answers, decoded into numbers, within a period after a warm-up; an answer that is no
unit vector ends the run.
"""

import argparse
import asyncio
import base64
import itertools
import json
import resource
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import numpy as np
import tritonclient.grpc.aio as grpc
from serving.cpu import cpu_seconds

Embed = Callable[[str], Awaitable[np.ndarray]]
PATIENCE_S = 120.0


def triton_client(stack: AsyncExitStack, port: int) -> Embed:
    """Return a client of the endpoint model over gRPC; all clients share one connection."""
    client = grpc.InferenceServerClient(f"127.0.0.1:{port}")
    stack.push_async_callback(client.close)

    async def embed(text: str) -> np.ndarray:
        tensor = grpc.InferInput("TEXT", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[text.encode()]], dtype=object))
        answer = await client.infer("embedtune", [tensor], client_timeout=PATIENCE_S)
        return answer.as_numpy("EMBEDDING")[0]

    return embed


def http_client(stack: AsyncExitStack, port: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    client = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=PATIENCE_S, trust_env=False
    )
    stack.push_async_callback(client.aclose)
    return client


def openai_client(stack: AsyncExitStack, port: int, path: str, model: str) -> Embed:
    """Return a client of OpenAI's API that asks for base64, as the official client does."""
    client = http_client(stack, port)

    async def embed(text: str) -> np.ndarray:
        body = {"input": [text], "model": model, "encoding_format": "base64"}
        answer = (await client.post(path, json=body)).raise_for_status().json()
        return np.frombuffer(base64.b64decode(answer["data"][0]["embedding"]), dtype="<f4")

    return embed


def plain_client(stack: AsyncExitStack, port: int) -> Embed:
    """Return a client of bench/serving/plain.py, which answers with numbers in JSON."""
    client = http_client(stack, port)

    async def embed(text: str) -> np.ndarray:
        answer = (await client.post("/embed", json={"texts": [text]})).raise_for_status().json()
        return np.array(answer["embeddings"][0], dtype=np.float32)

    return embed


CLIENTS: dict[str, Callable[[AsyncExitStack, int], Embed]] = {
    "triton": triton_client,
    "gateway": lambda stack, port: openai_client(stack, port, "/v1/embeddings", "embedtune"),
    "infinity": lambda stack, port: openai_client(stack, port, "/embeddings", "peer"),
    "plain": plain_client,
}


async def measure(kind: str, port: int, texts: Sequence[str], options: argparse.Namespace) -> dict[str, object]:
    """Return latencies and texts of the answers within the period, and the CPU usage of servers and clients."""
    seconds: list[float] = []
    answered: list[int] = []
    servers: list[float] = []
    async with AsyncExitStack() as stack:
        embed = CLIENTS[kind](stack, port)
        turns = itertools.cycle(enumerate(texts))
        begin = time.perf_counter() + options.warmup
        end = begin + options.seconds

        async def client() -> None:
            while (start := time.perf_counter()) < end:
                number, text = next(turns)
                vector = await embed(text)
                stop = time.perf_counter()
                if len(vector) != options.dimension or not 0.99 < float(vector @ vector) < 1.01:
                    raise ValueError(f"{kind} did not return a unit vector: {vector[:4]}")
                if begin <= stop <= end:
                    seconds.append(stop - start)
                    answered.append(number)

        async def watch() -> None:
            for moment in (begin, end):
                await asyncio.sleep(moment - time.perf_counter())
                servers.append(cpu_seconds(options.server))

        cpu = _cpu_seconds()
        await asyncio.gather(watch(), *(client() for _ in range(options.clients)))
        spent = _cpu_seconds() - cpu
    whole = options.warmup + options.seconds
    return {
        "seconds": seconds,
        "answered": answered,
        "elapsed": options.seconds,
        "server_cpu_s": servers[1] - servers[0],
        "client_cores": spent / whole,
    }


async def vectors(kind: str, port: int, texts: Sequence[str]) -> list[list[float]]:
    """Return the vectors of the texts, requested one by one."""
    async with AsyncExitStack() as stack:
        embed = CLIENTS[kind](stack, port)
        return [(await embed(text)).tolist() for text in texts]


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=CLIENTS)
    parser.add_argument("port", type=int)
    parser.add_argument("texts", type=Path, help="JSON list of strings")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warmup", type=float, default=1.0)
    parser.add_argument("--server", type=int, action="append", default=[], help="id of a process of the system")
    parser.add_argument("--dimension", type=int, required=True)
    parser.add_argument("--vectors", type=int, default=0, help="print the vectors of this many texts instead")
    options = parser.parse_args()
    texts = json.loads(options.texts.read_text())
    if options.vectors:
        print(json.dumps(asyncio.run(vectors(options.kind, options.port, texts[: options.vectors]))))
    else:
        print(json.dumps(asyncio.run(measure(options.kind, options.port, texts, options))))


if __name__ == "__main__":
    main()
