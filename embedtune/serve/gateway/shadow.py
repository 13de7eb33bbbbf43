"""The candidate gets a copy of some requests; clients get the live release's answer and never wait for the copy.

Compared are seconds, errors and vectors. Two models have two vector spaces, so the cosine between their vectors of
a text says only whether the candidate's vectors fit the live index; which passages are nearest to a text can be
compared in any case (docs/adr/0027).
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.routes import Route
from embedtune.serve.gateway.tracing import Tracing
from embedtune.serve.gateway.triton_client import Embedded, Form, TritonEndpoint
from embedtune.serve.release.record import short

CLIENT = "shadow"  # as a client of the model
MOST_TEXTS = 32  # of a request that is copied: clients that come meanwhile wait for no more than these
PASSAGES = 500  # that are remembered, as vectors only: among them neighbours are sought
FEWEST = 100  # passages before neighbours are compared
NEAREST = 10
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
COSINES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class ShadowMetrics:
    """What is known about a candidate.

    Args:
        registry: The registry of the gateway's metrics.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "embedtune_gateway_shadow_requests",
            "Number of requests chosen for a copy: ok, busy (not copied, since others waited), or why it failed.",
            ["candidate", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "embedtune_gateway_shadow_seconds",
            "Seconds in which the live release and the candidate embedded the texts of a copied request.",
            ["candidate", "by"],
            buckets=SECONDS,
            registry=registry,
        )
        self.cosine = Histogram(
            "embedtune_gateway_shadow_cosine",
            "Cosine similarity of the two vectors of a text; not of vectors with different sizes.",
            ["candidate"],
            buckets=COSINES,
            registry=registry,
        )
        self.overlap = Histogram(
            "embedtune_gateway_shadow_overlap",
            f"Share of the {NEAREST} nearest of the last passages that both releases find for a text.",
            ["candidate"],
            buckets=SHARES,
            registry=registry,
        )


@dataclass(frozen=True)
class Answered:
    """A request that was answered.

    Args:
        release: The release that answered.
        texts: The texts, in UTF-8.
        form: What they are, and what was wanted.
        embedded: The answer.
        seconds: How long that took while nobody else was waiting.
    """

    release: str
    texts: Sequence[bytes]
    form: Form
    embedded: Embedded
    seconds: float


@dataclass
class Passages:
    """The vectors that two releases gave to the last passages.

    Args:
        of: The releases and the size of their vectors.
    """

    of: tuple[str, str, int, int]
    pairs: deque[tuple[Vectors, Vectors]] = field(default_factory=lambda: deque(maxlen=PASSAGES))

    def overlaps(self, live: Vectors, other: Vectors) -> list[float]:
        """Return for each text the share of its nearest passages that both releases agree on; empty if too few."""
        if len(self.pairs) < FEWEST:
            return []
        found = []
        sides = [np.stack(side) for side in zip(*self.pairs, strict=True)]
        for row in range(len(live)):
            nearest = [
                set(np.argpartition(-(side @ vectors[row]), NEAREST - 1)[:NEAREST].tolist())
                for side, vectors in zip(sides, (live, other), strict=True)
            ]
            found.append(len(nearest[0] & nearest[1]) / NEAREST)
        return found

    def add(self, live: Vectors, other: Vectors) -> None:
        """Remember passages; those that have been there for longest are forgotten."""
        self.pairs.extend(zip(live, other, strict=True))


class Shadow:
    """Copies requests to the candidate.

    Args:
        share: The share of the requests to copy.
        candidate: Returns the candidate's route if the release that it is given is live, else None.
        metrics: Updated with what is seen.
        tracing: Records a copy as a step of the request, which ends before it.
        chance: Returns a number from 0 to 1.
    """

    def __init__(
        self,
        share: float,
        candidate: Callable[[str], Route | None],
        metrics: ShadowMetrics,
        tracing: Tracing,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._share = share
        self._candidate = candidate
        self._metrics = metrics
        self._tracing = tracing
        self._chance = chance
        self._passages = Passages(("", "", 0, 0))
        self._running: set[asyncio.Task[None]] = set()

    def copy(self, endpoint: TritonEndpoint, live: Answered) -> None:
        """Copy a request, if its turn has come and nobody waits.

        Args:
            endpoint: The models.
            live: The request and its answer.
        """
        if self._share <= 0 or len(live.texts) > MOST_TEXTS or self._chance() >= self._share:
            return
        if (route := self._candidate(live.release)) is None:
            return
        if self._running or endpoint.turns.pending_tokens:
            self._metrics.requests.labels(short(route.release), "busy").inc()
            return
        task = asyncio.create_task(self._compare(endpoint, route, live))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Give up what is running."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _compare(self, endpoint: TritonEndpoint, route: Route, live: Answered) -> None:
        candidate, started = short(route.release), time.perf_counter()
        try:
            with self._tracing.step("shadow", attributes={"embedtune.release": route.release}):
                other = await endpoint.embed(route.model, live.texts, live.form, CLIENT)
        except RefusedError as error:
            self._metrics.requests.labels(candidate, error.code or str(error.status)).inc()
            return
        self._metrics.requests.labels(candidate, "ok").inc()
        self._metrics.seconds.labels(candidate, "live").observe(live.seconds)
        self._metrics.seconds.labels(candidate, "candidate").observe(time.perf_counter() - started)
        await self._compare_vectors(candidate, (live.release, route.release), live, other.vectors)

    async def _compare_vectors(
        self, candidate: str, releases: tuple[str, str], live: Answered, other: Vectors
    ) -> None:
        own = live.embedded.vectors
        of = (*releases, own.shape[1], other.shape[1])
        if of != self._passages.of:
            self._passages = Passages(of)
        if own.shape == other.shape:
            for cosine in np.einsum("ij,ij->i", own, other):
                self._metrics.cosine.labels(candidate).observe(float(cosine))
        for overlap in await asyncio.to_thread(self._passages.overlaps, own, other):
            self._metrics.overlap.labels(candidate).observe(overlap)
        if live.form.input_type == "passage":
            self._passages.add(own, other)
