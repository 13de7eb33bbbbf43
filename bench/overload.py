"""Offers the gateway several times the work that it can do, and measures what clients get.

First the capacity: a few clients that wait for their answers keep the model busy. Then requests arrive on their
own, `--load` times as many tokens per second as that: most are requests of 64 texts from one API key, one in ten
is a single query from another. Printed are ratios and latencies; exit status 1: less than 90% of the capacity was
delivered, the 99th percentile of the answered requests exceeded the deadline, or queries waited for bulk work.

    python bench/overload.py --engine ENGINE                # about 2 minutes on two cores
    python bench/overload.py --engine ENGINE --seconds 20   # a quick look
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from serving.load import http_client
from serving.systems import System, running, triton

from embedtune.core.config.serve import ServeSettings
from embedtune.serve.gateway.keys import key_hash
from embedtune.serve.triton.server import free_ports

MODEL = "embedtune"
BULK_TEXTS, BULK_WORDS, QUERY_WORDS = 64, 150, 8
QUERY_SHARE = 0.1  # of the requests
WARM_CLIENTS = 3  # enough to keep the model busy
WORDS = ("the", "press", "kiln", "drum", "valve", "pump", "seal", "is", "stuck", "and", "has", "a", "leak", "at")
DELIVERED, PERCENTILE = 0.9, 99
KEYS = ("bulk", "search")


@dataclass
class Outcome:
    """What one kind of request got."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)  # of those that were answered
    tokens: int = 0

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.seconds, share)) if self.seconds else float("nan")


def text(source: random.Random, words: int) -> str:
    return " ".join(source.choice(WORDS) for _ in range(words))


async def ask(client: httpx.AsyncClient, key: str, texts: list[str], outcome: Outcome) -> None:
    begin = time.perf_counter()
    body = {"model": MODEL, "input": texts, "encoding_format": "base64"}
    reply = await client.post("/v1/embeddings", json=body, headers={"Authorization": f"Bearer {key}"})
    outcome.statuses[reply.status_code] += 1
    if reply.status_code == 200:
        outcome.seconds.append(time.perf_counter() - begin)
        outcome.tokens += reply.json()["usage"]["total_tokens"]


async def capacity(client: httpx.AsyncClient, seconds: float) -> float:
    """Return the tokens per second that clients get which wait for their answers."""
    source, outcome, end = random.Random(1), Outcome(), time.perf_counter() + seconds

    async def wait_and_repeat() -> None:
        while time.perf_counter() < end:
            answered = len(outcome.seconds)
            await ask(client, "bulk", [text(source, BULK_WORDS) for _ in range(BULK_TEXTS)], outcome)
            if len(outcome.seconds) == answered:  # refused: at first the gateway does not know the model's rate
                await asyncio.sleep(1)

    begin = time.perf_counter()
    await asyncio.gather(*(wait_and_repeat() for _ in range(WARM_CLIENTS)))
    if set(outcome.statuses) - {200, 429} or not outcome.tokens:
        sys.exit(f"the capacity could not be measured: {dict(outcome.statuses)}")
    return outcome.tokens / (time.perf_counter() - begin)


async def overload(
    client: httpx.AsyncClient, tokens_per_s: float, seconds: float
) -> tuple[Outcome, Outcome, float]:
    """Return the outcomes of bulk requests and queries, and the time until the last answer."""
    source, bulk, queries = random.Random(2), Outcome(), Outcome()
    # About 1.1 tokens per word of this vocabulary; the offered load is counted in requests.
    per_request = (1 - QUERY_SHARE) * BULK_TEXTS * BULK_WORDS + QUERY_SHARE * QUERY_WORDS
    begin, tasks = time.perf_counter(), []
    while time.perf_counter() - begin < seconds:
        await asyncio.sleep(source.expovariate(tokens_per_s / per_request))
        if source.random() < QUERY_SHARE:
            work = ask(client, "search", [text(source, QUERY_WORDS)], queries)
        else:
            work = ask(client, "bulk", [text(source, BULK_WORDS) for _ in range(BULK_TEXTS)], bulk)
        tasks.append(asyncio.create_task(work))
    await asyncio.gather(*tasks)
    return bulk, queries, time.perf_counter() - begin


async def measure(system: System, options: argparse.Namespace) -> bool:
    async with AsyncExitStack() as stack:
        client = http_client(stack, system.port)
        most = await capacity(client, options.seconds / 3)
        bulk, queries, elapsed = await overload(client, most * options.load, options.seconds)
    delivered = (bulk.tokens + queries.tokens) / elapsed / most
    print(f"capacity {most:,.0f} tokens/s; offered {options.load:g} times that; deadline {options.timeout:g} s")
    print(f"delivered {delivered:.0%} of the capacity")
    for name, outcome in (("bulk", bulk), ("queries", queries)):
        statuses = ", ".join(f"{count} x {status}" for status, count in sorted(outcome.statuses.items()))
        print(
            f"{name}: {statuses}; p50 {outcome.percentile(50):.1f} s, p99 {outcome.percentile(PERCENTILE):.1f} s"
        )
    late = max(bulk.percentile(PERCENTILE), queries.percentile(PERCENTILE)) > options.timeout
    stuck = queries.percentile(50) > bulk.percentile(50) / 2
    return delivered >= DELIVERED and not late and not stuck


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engine", type=Path, required=True, help="fp32, target python-cpu")
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload")
    parser.add_argument("--load", type=float, default=3.0, help="times the capacity")
    parser.add_argument("--timeout", type=float, default=30.0, help="the gateway's deadline in seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        behind = stack.enter_context(triton("Triton", options.engine, ServeSettings(), Path(name) / "triton"))
        keys = Path(name) / "keys"
        keys.write_text("".join(f"{key} sha256:{key_hash(key).hex()}\n" for key in KEYS))
        (port,) = free_ports(1)
        command = [sys.executable, "-m", "embedtune.serve.gateway", f"--port={port}", f"--keys={keys}"]
        command += [
            f"--triton=127.0.0.1:{behind.port}",
            f"--serving={behind.serving}",
            f"--timeout={options.timeout:g}",
            "--drain=0",
        ]
        system = System("gateway", "gateway", port)
        front = stack.enter_context(running(system, command, "/health", Path(name) / "gateway.log"))
        if not asyncio.run(measure(front, options)):
            sys.exit(1)


if __name__ == "__main__":
    main()
