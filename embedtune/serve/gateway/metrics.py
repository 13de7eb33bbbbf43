"""The gateway's Prometheus metrics. Each application has its own registry."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
CHARACTERS_PER_TOKEN = 4  # of English text, by a rule of thumb: the autoscaler's target is no more exact


class Metrics:
    """Counts and durations of requests, and counts of the texts and tokens embedded."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "embedtune_gateway_requests",
            "Number of requests answered.",
            ["route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "embedtune_gateway_request_seconds",
            "Seconds from a request's last byte to its answer.",
            ["route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self.in_progress = Gauge(
            "embedtune_gateway_requests_in_progress",
            "Number of requests being answered now.",
            registry=self._registry,
        )
        self.pending_tokens = Gauge(
            "embedtune_gateway_pending_tokens",
            "Number of tokens, estimated, that wait or are being embedded now.",
            registry=self._registry,
        )
        self.texts = Counter(
            "embedtune_gateway_texts", "Number of texts embedded.", ["input_type"], registry=self._registry
        )
        self.tokens = Counter("embedtune_gateway_tokens", "Number of tokens embedded.", registry=self._registry)

    @contextmanager
    def pending(self, texts: Sequence[str]) -> Iterator[None]:
        """Count texts as waiting or being embedded for as long as this context lasts."""
        tokens = sum(1 + len(text) // CHARACTERS_PER_TOKEN for text in texts)
        self.pending_tokens.inc(tokens)
        try:
            yield
        finally:
            self.pending_tokens.dec(tokens)

    def render(self) -> bytes:
        """Return the metrics in the text format that Prometheus scrapes."""
        return generate_latest(self._registry)
