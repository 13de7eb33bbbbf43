"""The gateway's Prometheus metrics. Each application has its own registry."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from embedtune.serve.gateway.query_drift import QueryDrift
from embedtune.serve.gateway.replica_metrics import ReplicaCollector
from embedtune.serve.gateway.shadow import ShadowMetrics
from embedtune.serve.gateway.turns import Turns
from embedtune.serve.replica.serving import ServingReader

BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
REMEMBERED = 8  # releases
Measured = TypeVar("Measured", bound=MetricWrapperBase)
DROPPED = ("rate", "full", "unmasked", "stopped")  # why feedback is dropped


class FeedbackMetrics:
    """Counts of feedback.

    Args:
        registry: The registry of the gateway's metrics.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.accepted = Counter(
            "embedtune_gateway_feedback_accepted", "Number of records of feedback accepted.", registry=registry
        )
        self.written = Counter(
            "embedtune_gateway_feedback_written",
            "Number of records of feedback that have reached their place.",
            registry=registry,
        )
        self.dropped = Counter(
            "embedtune_gateway_feedback_dropped",
            "Number of records of feedback refused or lost although they were valid.",
            ["reason"],
            registry=registry,
        )
        for reason in DROPPED:  # 0 before the first one, so that an alert sees it
            self.dropped.labels(reason)
        self.disk_bytes = Gauge(
            "embedtune_gateway_feedback_disk_bytes",
            "Size of the feedback on this machine: all of it, or what waits for the object store.",
            registry=registry,
        )


class ByRelease:
    """Series that name a release; those of releases that were not asked for long are dropped."""

    def __init__(self) -> None:
        self._series: OrderedDict[str, set[tuple[MetricWrapperBase, tuple[str, ...]]]] = OrderedDict()

    def series(self, metric: Measured, release: str, *labels: str) -> Measured:
        """Return one series of a metric.

        Args:
            metric: The metric.
            release: The release; "" if it is not known.
            labels: The values of all labels, in their order.
        """
        if release:
            self._series.setdefault(release, set()).add((metric, labels))
            self._series.move_to_end(release)
        while len(self._series) > REMEMBERED:
            _, gone = self._series.popitem(last=False)
            for other, values in gone:
                other.remove(*values)
        return metric.labels(*labels)


@dataclass(frozen=True)
class Asked:
    """What a request asked for; "" is not known.

    Args:
        route: The path.
        model: Name of the model without a pin.
        release: Beginning of the release's id.
    """

    route: str
    model: str = ""
    release: str = ""


class Metrics:
    """Counts and durations of requests, and counts of the texts and tokens embedded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = self._counter(
            "requests", "Number of requests answered.", ["route", "status", "model", "release"]
        )
        self.seconds = Histogram(
            "embedtune_gateway_request_seconds",
            "Seconds from a request's last byte to its answer.",
            ["route", "model", "release"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "embedtune_gateway_requests_in_progress",
            "Number of requests being answered now.",
            registry=self.registry,
        )
        self.pending_tokens = Gauge(
            "embedtune_gateway_pending_tokens",
            "Number of tokens, estimated, that wait or are being embedded now.",
            registry=self.registry,
        )
        self.rate = Gauge(
            "embedtune_gateway_tokens_per_second",
            "Tokens per second that the model reads under load, as measured.",
            registry=self.registry,
        )
        self.texts = self._counter("texts", "Number of texts embedded.", ["input_type", "model", "release"])
        self.key_requests = self._counter(
            "key_requests", "Number of requests answered, by API key.", ["key", "status"]
        )
        self.key_tokens = self._counter("key_tokens", "Number of tokens embedded, by API key.", ["key"])
        self.tokens = self._counter("tokens", "Number of tokens embedded.", ["model", "release"])
        self._by_release = ByRelease()
        self.feedback = FeedbackMetrics(self.registry)
        self.shadow = ShadowMetrics(self.registry)
        self.queries = QueryDrift(self.registry)
        self._replica = ReplicaCollector()
        self.registry.register(self._replica)

    def _counter(self, name: str, meaning: str, labels: list[str]) -> Counter:
        return Counter(f"embedtune_gateway_{name}", meaning, labels, registry=self.registry)

    def answered(self, asked: Asked, status: str, seconds: float) -> None:
        """Count a request.

        Args:
            asked: What it asked for.
            status: HTTP status of the answer.
            seconds: How long it took.
        """
        names, series = (asked.model, asked.release), self._by_release.series
        series(self.requests, asked.release, asked.route, status, *names).inc()
        series(self.seconds, asked.release, asked.route, *names).observe(seconds)

    def embedded(self, asked: Asked, input_type: str, texts: int, tokens: int) -> None:
        """Count what was embedded.

        Args:
            asked: By what.
            input_type: query or passage.
            texts: Number of texts.
            tokens: Number of tokens.
        """
        names, series = (asked.model, asked.release), self._by_release.series
        series(self.texts, asked.release, input_type, *names).inc(texts)
        series(self.tokens, asked.release, *names).inc(tokens)

    def follow(self, reader: ServingReader) -> None:
        """Add what is known about the releases.

        Args:
            reader: What the replica serves.
        """
        self._replica.reader = reader

    def watch(self, turns: Turns) -> None:
        """Add what is known about the work that is waiting.

        Args:
            turns: Whose turn it is.
        """
        self.pending_tokens.set_function(lambda: turns.pending_tokens)
        self.rate.set_function(lambda: turns.rate.tokens_per_s)

    def render(self) -> bytes:
        """Return the metrics in the text format that Prometheus scrapes."""
        return generate_latest(self.registry)
