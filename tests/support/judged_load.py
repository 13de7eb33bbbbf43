"""Requests while releases are switched, each answer judged: by its vectors, its name, and the moment."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx
import numpy as np
import pyarrow.parquet as pq

from embedtune.core.errors import StoreAwayError
from embedtune.serve.release.record import REFERENCE_FILE, Release
from embedtune.serve.store.records import Pointer
from embedtune.serve.store.store import ReleaseStore

SAME = 0.9999
CLOCKS_S = 0.1  # a request and the switch are timed by different processes


@dataclass
class Answer:
    """An answer: when it was asked for and arrived, the release that it names, and the releases that it fits."""

    asked: float
    arrived: float
    named: str
    fits: set[str]


class Judge:
    """Asks an endpoint, and notes answers and switches.

    Args:
        store: The store that its replicas follow.
        url: The gateway.
        honest: The releases that may answer, whose references are about the same texts.
        key: The API key; None: the gateway asks for none.
    """

    def __init__(self, store: ReleaseStore, url: str, honest: list[Release], key: str | None = None) -> None:
        self.store, self.url = store, url
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.answers: list[Answer] = []
        self.switches: list[tuple[float, str]] = []
        rows = {release.id: pq.read_table(release.path / REFERENCE_FILE).to_pylist() for release in honest}
        self.texts = [(row["text"], row["kind"]) for row in next(iter(rows.values()))]
        self.vectors = {name: np.asarray([row["vector"] for row in table]) for name, table in rows.items()}

    def pointer(self) -> Pointer:
        """Return the pointer, as soon as the store answers."""
        while True:
            with suppress(StoreAwayError):
                return self.store.pointer()

    def ask(self, http: httpx.Client, rng: random.Random) -> Answer | None:
        """Send a request of a few texts, or of more than Triton takes at once; None: it was refused for now."""
        count = rng.choice([1, 3, 40])
        kind = rng.choice(["query", "passage"])
        rows = rng.sample([row for row, (_, of) in enumerate(self.texts) if of == kind], count)
        body = {"model": f"embedtune-{kind}", "input": [self.texts[row][0] for row in rows]}
        asked = time.time()
        reply = http.post("/v1/embeddings", json=body)
        if reply.status_code != 200:
            assert reply.status_code in (429, 503, 504), reply.text
            return None
        got = np.asarray([item["embedding"] for item in reply.json()["data"]])
        fits = {
            name for name, known in self.vectors.items() if np.einsum("ij,ij->i", got, known[rows]).min() > SAME
        }
        return Answer(asked, time.time(), reply.headers["x-embedtune-release"], fits)

    def wait_for(self, live: str | None, after: str, seconds: float = 120) -> None:
        """Wait until the live release answers."""
        asked, deadline = len(self.answers), time.monotonic() + seconds
        while not any(answer.named == live for answer in self.answers[asked:]):
            assert time.monotonic() < deadline, f"after {after}, {live} does not answer"
            time.sleep(0.1)

    def live_at(self, moment: float) -> str | None:
        """Return the release that was to answer at a moment."""
        past = [name for at, name in self.switches if at <= moment]
        return past[-1] if past else None

    def wrong(self) -> list[Answer]:
        """Return the answers that do not come from the release they name, or not from the one to answer then."""
        found = []
        for answer in self.answers:
            due = {self.live_at(answer.asked - CLOCKS_S), self.live_at(answer.arrived + CLOCKS_S)}
            if answer.named not in answer.fits or answer.named not in due:
                found.append(answer)
        return found


@contextmanager
def loaded(judge: Judge, clients: int) -> Iterator[None]:
    """Ask in threads, and note the switches, as long as the block lasts."""
    ended = threading.Event()
    with ThreadPoolExecutor(clients + 1) as pool:
        works = [pool.submit(_ask, judge, seed, ended) for seed in range(clients)]
        works.append(pool.submit(_watch, judge, ended))
        try:
            yield
        finally:
            ended.set()
            for work in works:  # if the block fails, this may be why
                work.result()


def _ask(judge: Judge, seed: int, ended: threading.Event) -> None:
    rng = random.Random(seed)
    with httpx.Client(base_url=judge.url, headers=judge.headers, timeout=30, trust_env=False) as http:
        while not ended.wait(0.05):
            with suppress(httpx.HTTPError):  # the gateway, or its pod, was killed
                if answer := judge.ask(http, rng):
                    judge.answers.append(answer)


def _watch(judge: Judge, ended: threading.Event) -> None:
    seen = None
    while not ended.wait(0.01):
        now = judge.pointer()
        if now.live and now.since != seen:
            seen = now.since
            # The first one is immediate.
            judge.switches.append((now.switch_at or time.time() - 1, now.live))
