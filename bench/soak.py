"""Sends ten minutes of full load with malformed requests mixed in, and checks for failures and growing memory.

It runs the real Triton and the gateway on this machine, with half of the clients on each. Every answer is compared
with PyTorch's vector of its text; every malformed request must be refused as a client error, not a server error.
The memory of each process is printed once a minute. Exit status 1: a valid request failed, a malformed one was
answered or broke something, or a process grew by more than 25 MB from the second fifth of the time to the last.

    python bench/soak.py --engine ENGINE                            # 10 minutes, 32 clients
    python bench/soak.py --engine ENGINE --seconds 20 --clients 4   # a quick run
"""

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq
import tritonclient.grpc.aio as grpc
from serving.load import PATIENCE_S, http_client
from serving.systems import System, gateway, triton
from tritonclient.utils import InferenceServerException

from embedtune.core.config.serve import ServeSettings

MALFORMED_SHARE = 10  # every tenth request
MODEL = "embedtune"
WATCHED = {
    "tritonserver": "tritonserver",
    "triton_python_backend_stub": "stub",
    "embedtune.serve.gateway": "gateway",
}
LEAST_COSINE = 0.999
MOST_GROWTH_MB = 25.0  # a tenth of the stub's memory; allocators settle within the first minutes
CLIENT_ERRORS = range(400, 500)
BODIES: dict[str, bytes] = {
    "no JSON": b'{"input": ',
    "no input": b'{"model": "embedtune"}',
    "empty text": b'{"model": "embedtune", "input": ""}',
    "empty list": b'{"model": "embedtune", "input": []}',
    "null byte": b'{"model": "embedtune", "input": "a\\u0000b"}',
    "lone surrogate": b'{"model": "embedtune", "input": "a\\ud800b"}',
    "token ids": b'{"model": "embedtune", "input": [[1, 2, 3]]}',
    "other model": b'{"model": "gpt-4", "input": "a"}',
    "other type": b'{"model": "embedtune", "input": "a", "input_type": "title"}',
    "wrong dimensions": b'{"model": "embedtune", "input": "a", "dimensions": 7}',
    "too many texts": b'{"model": "embedtune", "input": [' + b'"a",' * 300 + b'"a"]}',
    "megabyte text": b'{"model": "embedtune", "input": "' + b"a" * 1_000_000 + b'"}',
    "body too large": b'{"model": "embedtune", "input": "' + b"a" * 5_000_000 + b'"}',
}
TENSORS: dict[str, dict[str, list[object]]] = {
    "empty text": {"TEXT": [b""]},
    "null byte": {"TEXT": [b"a\0b"]},
    "no UTF-8": {"TEXT": [b"\xff\xfe"]},
    "other type": {"TEXT": [b"a"], "INPUT_TYPE": [b"title"]},
    "wrong dimensions": {"TEXT": [b"a"], "DIMENSIONS": [7]},
    "no text": {"INPUT_TYPE": [b"query"]},
    "too many texts": {"TEXT": [b"a"] * 33},
    "megabyte text": {"TEXT": [b"a" * 1_000_000]},
}


@dataclass
class Tally:
    """Counts of the answers, by outcome."""

    good: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """A text and its vector from PyTorch."""

    text: str
    kind: str
    vector: np.ndarray


Good = Callable[[Case], Awaitable[np.ndarray]]
Bad = Callable[[str], Awaitable[str]]  # returns how the request was refused, or "" if it was not refused correctly


def read_cases(engine: Path) -> list[Case]:
    columns = pq.read_table(engine / "reference.parquet").to_pydict()
    rows = zip(columns["text"], columns["kind"], columns["vector"], strict=True)
    return [Case(text, kind, np.array(vector, dtype=np.float32)) for text, kind, vector in rows]


def http_side(stack: AsyncExitStack, port: int) -> tuple[Good, Bad]:
    client = http_client(stack, port)

    async def good(case: Case) -> np.ndarray:
        body = {"model": MODEL, "input": case.text, "input_type": case.kind, "encoding_format": "float"}
        answer = (await client.post("/v1/embeddings", json=body)).raise_for_status().json()
        return np.array(answer["data"][0]["embedding"], dtype=np.float32)

    async def bad(name: str) -> str:
        headers = {"Content-Type": "application/json"}
        status = (await client.post("/v1/embeddings", content=BODIES[name], headers=headers)).status_code
        return str(status) if status in CLIENT_ERRORS else ""

    return good, bad


def grpc_side(stack: AsyncExitStack, port: int) -> tuple[Good, Bad]:
    client = grpc.InferenceServerClient(f"127.0.0.1:{port}")
    stack.push_async_callback(client.close)

    async def infer(tensors: dict[str, list[object]]) -> np.ndarray:
        answer = await client.infer(MODEL, [_tensor(*item) for item in tensors.items()], client_timeout=PATIENCE_S)
        return answer.as_numpy("EMBEDDING")[0]

    async def good(case: Case) -> np.ndarray:
        return await infer({"TEXT": [case.text.encode()], "INPUT_TYPE": [case.kind.encode()]})

    async def bad(name: str) -> str:
        try:
            await infer(TENSORS[name])
        except InferenceServerException as error:
            # A batch that is too large is refused by Triton itself, with its own message.
            told = error.message()
            return "refused" if "INVALID: " in told or "batch-size must be" in told else ""
        return ""

    return good, bad


def _tensor(name: str, values: list[object]) -> grpc.InferInput:
    kind, dtype = ("INT32", np.int32) if name == "DIMENSIONS" else ("BYTES", object)
    column = np.empty((len(values), 1), dtype=dtype)
    column[:, 0] = values
    return grpc.InferInput(name, list(column.shape), kind).set_data_from_numpy(column)


async def load(systems: list[System], cases: list[Case], options: argparse.Namespace) -> Tally:
    """Send requests until the time is over, cycling through the malformed ones."""
    tally, end = Tally(), time.monotonic() + options.seconds
    turns = itertools.cycle(cases)
    async with AsyncExitStack() as stack:

        async def client(good: Good, bad: Bad, malformed: Iterator[str], first: int) -> None:
            for number in itertools.count(first):
                if time.monotonic() > end:
                    return
                if number % MALFORMED_SHARE == 0:
                    await ask_badly(bad, next(malformed), tally)
                else:
                    await ask_well(good, next(turns), tally)

        sides = {
            "gateway": (http_side, itertools.cycle(BODIES)),
            "triton": (grpc_side, itertools.cycle(TENSORS)),
        }
        clients = []
        for system in systems:
            connect, malformed = sides[system.kind]
            ask = connect(stack, system.port)
            clients += [client(*ask, malformed, first) for first in range(options.clients // len(systems))]
        await asyncio.gather(*clients)
    return tally


async def ask_well(good: Good, case: Case, tally: Tally) -> None:
    try:
        cosine = float(await good(case) @ case.vector)
    except (httpx.HTTPError, InferenceServerException) as error:
        tally.failures.append(f"{case.text[:40]!r}: {error}")
        return
    tally.good += 1
    if cosine < LEAST_COSINE:
        tally.failures.append(f"{case.text[:40]!r}: cosine {cosine:.5f}")


async def ask_badly(bad: Bad, name: str, tally: Tally) -> None:
    try:
        how = await bad(name)
    except httpx.HTTPError as error:
        how = ""
        name += f" ({error})"
    if how:
        tally.refused[f"{name}: {how}"] += 1
    else:
        tally.failures.append(f"malformed request not refused as a client error: {name}")


def held(pid: int) -> float:
    """Return the memory of a process in MB, with its proportional share of shared memory.

    The resident size would not do: Triton maps its shared memory again as it grows, which would count repeatedly.
    """
    line = next(
        line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")
    )
    return int(line.split()[1]) * 1024 / 1e6


def watched(ours: int) -> dict[str, int]:
    """Return the process ids of the servers among the descendants of a process, by name."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except FileNotFoundError:  # the process has exited in the meantime
            continue
    found = {}
    for pid, command in commands.items():
        words = {Path(command[0]).name, *command[1:3]}
        ancestor = parents[pid]
        while ancestor not in (0, ours):
            ancestor = parents.get(ancestor, 0)
        found |= {name: pid for word, name in WATCHED.items() if ancestor == ours and word in words}
    return found


async def watch(pids: dict[str, int], seconds: float, samples: dict[str, list[float]]) -> None:
    """Measure the memory of each process a hundred times, and print it ten times."""
    for number in range(100):
        await asyncio.sleep(seconds / 100)
        for name, pid in pids.items():
            samples[name].append(held(pid))
        if number % 10 == 9:
            sizes = ", ".join(f"{name} {values[-1]:.0f} MB" for name, values in samples.items())
            print(f"{(number + 1) * seconds / 100:5.0f} s: {sizes}", flush=True)


async def soak(systems: list[System], cases: list[Case], options: argparse.Namespace) -> bool:
    pids = watched(os.getpid())
    samples: dict[str, list[float]] = {name: [] for name in pids}
    tally, _ = await asyncio.gather(load(systems, cases, options), watch(pids, options.seconds, samples))
    growth = {name: statistics.median(v[-20:]) - statistics.median(v[20:40]) for name, v in samples.items()}
    print(f"{tally.good:,} good answers, {tally.refused.total():,} malformed requests refused")
    print(f"refused: {', '.join(f'{name} x {count}' for name, count in sorted(tally.refused.items()))}")
    print(
        f"growth from the second fifth to the last: {', '.join(f'{n} {mb:+.1f} MB' for n, mb in growth.items())}"
    )
    for failure in tally.failures[:10]:
        print(f"FAILED: {failure}")
    missing = sorted(set(WATCHED.values()) - set(pids))
    print(f"{len(tally.failures)} failures" + (f"; not watched: {', '.join(missing)}" if missing else ""))
    return not tally.failures and not missing and max(growth.values()) <= MOST_GROWTH_MB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engine", type=Path, required=True, help="fp32, target python-cpu")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--clients", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        ours = stack.enter_context(triton("Triton", options.engine, ServeSettings(), Path(name) / "triton"))
        front = stack.enter_context(gateway("gateway", ours, Path(name)))
        if not asyncio.run(soak([ours, front], read_cases(options.engine), options)):
            sys.exit(1)


if __name__ == "__main__":
    main()
