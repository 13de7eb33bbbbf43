"""Metrics of the replica: its canary, which compares vectors every few minutes, and how old its pointer is."""

import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from embedtune.core.errors import EmbedtuneError
from embedtune.serve.release.record import short
from embedtune.serve.replica.serving import Serving, ServingReader


class ReplicaCollector:
    """Reads what the replica last saw whenever Prometheus asks."""

    def __init__(self) -> None:
        self.reader: ServingReader | None = None

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; without a replica there are no series of releases."""
        cosine = GaugeMetricFamily(
            "embedtune_gateway_canary_cosine",
            "Lowest cosine similarity between a release's reference vectors and those of the running model.",
            labels=["release"],
        )
        success = GaugeMetricFamily(
            "embedtune_gateway_canary_last_success_timestamp_seconds",
            "When the running model last reproduced the reference vectors of a release.",
            labels=["release"],
        )
        serving, ahead = self._serving(), time.time() - time.monotonic()
        for proven in serving.proven:
            if proven.cosine is not None and proven.checked is not None:
                cosine.add_metric([short(proven.id)], proven.cosine)
                success.add_metric([short(proven.id)], proven.checked + ahead)
        pointer = GaugeMetricFamily(
            "embedtune_gateway_pointer_age_seconds",
            "Seconds since the release store's pointer was read that the replica goes by.",
        )
        if serving.read_at is not None:
            pointer.add_metric([], max(0.0, time.monotonic() - serving.read_at))
        yield GaugeMetricFamily(
            "embedtune_gateway_pointer_kept",
            "1 while the replica goes by a pointer that was read before it started.",
            value=serving.kept,
        )
        yield pointer
        yield cosine
        yield success
        yield CounterMetricFamily(
            "embedtune_gateway_canary_drifts",
            "How often a running model no longer returned the reference vectors, since this Triton started.",
            value=serving.drifts,
        )

    def _serving(self) -> Serving:
        try:
            return self.reader.read() if self.reader else Serving(written=0.0)
        except EmbedtuneError:  # of another version; whoever asks for vectors gets the reason
            return Serving(written=0.0)
