"""Bounded load on an endpoint; each answer is compared with what the releases are known to give."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import openai
import pyarrow.parquet as pq
import urllib3

PAUSE_S = 0.02
SAME = 0.9999


@dataclass(frozen=True)
class Text:
    """A text, and the vector that each release gives for it."""

    text: str
    kind: str
    vectors: dict[str, np.ndarray]

    def release_of(self, vector: list[float]) -> str | None:
        """Return the release that gave a vector, or None if none did."""
        got = np.asarray(vector)
        return next((name for name, known in self.vectors.items() if got @ known > SAME), None)


def read_texts(references: dict[str, Path]) -> list[Text]:
    """Read the references of releases, which are about the same texts."""
    tables = {name: pq.read_table(file).to_pylist() for name, file in references.items()}
    rows = zip(*tables.values(), strict=True)
    texts = []
    for row in rows:
        assert len({(entry["text"], entry["kind"]) for entry in row}) == 1
        vectors = {name: np.asarray(entry["vector"]) for name, entry in zip(tables, row, strict=True)}
        texts.append(Text(row[0]["text"], row[0]["kind"], vectors))
    return texts


@dataclass
class Load:
    """What came back: when, from which release (None: from none that is known), and what failed."""

    answers: list[tuple[float, str | None]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def releases(self, since: float = 0.0) -> set[str | None]:
        return {release for at, release in self.answers if at >= since}


Ask = Callable[[Text], list[float]]
FAILED = (urllib3.exceptions.HTTPError, openai.OpenAIError, RuntimeError)


@contextmanager
def loaded(texts: list[Text], clients: list[Ask]) -> Iterator[Load]:
    """Ask at random as long as a `with` block lasts, each client one text at a time."""
    load, stop = Load(), threading.Event()

    def work(ask: Ask, rng: random.Random) -> None:
        while not stop.wait(PAUSE_S):
            text, started = rng.choice(texts), time.monotonic()
            try:
                load.answers.append((started, text.release_of(ask(text))))
            except FAILED as error:
                load.failures.append(f"{time.monotonic() - started:.2f} s: {error!r}")

    threads = [threading.Thread(target=work, args=(ask, random.Random(n))) for n, ask in enumerate(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def without_retries(url: str, key: str, *, keep_alive: bool) -> Ask:
    """Return a client that gives up at the first error."""
    headers = {"Authorization": f"Bearer {key}"} | ({} if keep_alive else {"Connection": "close"})
    http = urllib3.PoolManager(retries=False, timeout=30, headers=headers, maxsize=1)

    def ask(text: Text) -> list[float]:
        body = {"model": "embedtune", "input": text.text, "input_type": text.kind}
        answer = http.request("POST", f"{url}/v1/embeddings", json=body)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {answer.data[:200]!r}")
        vector: list[float] = answer.json()["data"][0]["embedding"]
        return vector

    return ask


def with_retries(url: str, key: str) -> Ask:
    """Return the official client, which tries again after errors of the connection, 429 and 5xx."""
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=30, timeout=10)

    def ask(text: Text) -> list[float]:
        body = {"input_type": text.kind}
        return client.embeddings.create(model="embedtune", input=text.text, extra_body=body).data[0].embedding

    return ask
