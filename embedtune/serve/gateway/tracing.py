"""Traces of requests for OpenTelemetry: names, numbers and times, never a text.

The standard variables OTEL_… switch them on; without them the SDK is not imported. Its provider is not made the
global one, to which FastAPI would add spans of its own.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from embedtune import __version__
from embedtune.core.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

SERVICE = "embedtune-gateway"
PROTOCOL = "http/protobuf"
# W3C's least length that has to be handed on; gRPC refuses requests with some kilobytes of metadata.
MAX_TRACESTATE = 512
Attributes = Mapping[str, str | int]
Kind = Literal["INTERNAL", "SERVER", "CLIENT"]


class Tracing:
    """Records what a request does.

    Args:
        provider: Where spans go; None: nothing is recorded.
    """

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("embedtune", __version__) if provider else None

    @contextmanager
    def request(self, headers: Mapping[bytes, bytes], method: str) -> Iterator[None]:
        """Record a request; it belongs to the trace of its client, if that sends a `traceparent`.

        Args:
            headers: Of the request.
            method: Of HTTP.
        """
        if self._tracer is None:
            yield
            return
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {
            name: headers.get(name.encode(), b"").decode("latin-1") for name in ("traceparent", "tracestate")
        }
        parent = TraceContextTextMapPropagator().extract(carrier)
        with self._span(method, "SERVER", {"http.request.method": method}, parent):
            yield

    @contextmanager
    def step(self, name: str, kind: Kind = "INTERNAL", attributes: Attributes | None = None) -> Iterator[None]:
        """Record a step of the current request.

        Args:
            name: Its name.
            kind: CLIENT: another server is asked.
            attributes: What is known about it.
        """
        if self._tracer is None:
            yield
            return
        with self._span(name, kind, attributes or {}):
            yield

    def describe(self, attributes: Attributes, *, name: str | None = None, failed: bool = False) -> None:
        """Add what is known about the current step.

        Args:
            attributes: What is known.
            name: Its name; None: as it was.
            failed: Whether it failed.
        """
        if self._tracer is None:
            return
        from opentelemetry.trace import StatusCode, get_current_span

        span = get_current_span()
        span.set_attributes(attributes)
        if name:
            span.update_name(name)
        if failed:
            span.set_status(StatusCode.ERROR)

    def headers(self) -> dict[str, str]:
        """Return the headers that make another server's spans part of the current step.

        Empty if the trace is not sampled: Triton 2.51 would record its part all the same.
        """
        if self._tracer is None:
            return {}
        from opentelemetry.trace import get_current_span
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        found: dict[str, str] = {}
        if get_current_span().get_span_context().trace_flags.sampled:
            TraceContextTextMapPropagator().inject(found)
        return {name: value for name, value in found.items() if len(value) <= MAX_TRACESTATE}

    def close(self) -> None:
        """Send what has not been sent yet."""
        if self._provider:
            self._provider.shutdown()

    @contextmanager
    def _span(
        self, name: str, kind: Kind, attributes: Attributes, parent: "Context | None" = None
    ) -> Iterator[None]:
        from opentelemetry.trace import SpanKind

        assert self._tracer is not None  # noqa: S101 - asked by the callers
        # Exceptions are not recorded: their messages could contain what a client has sent.
        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=SpanKind[kind],
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ):
            yield


def tracing_from(environment: Mapping[str, str]) -> Tracing:
    """Return the tracing that the standard variables of OpenTelemetry ask for.

    Args:
        environment: `os.environ`: the SDK itself reads the other variables there (sampler, headers, batches, …).

    Raises:
        ConfigError: They ask for another exporter or protocol, or the extra is not installed.
    """
    if not wanted(environment):
        return Tracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise ConfigError(
            "OpenTelemetry is not installed",
            got=error,
            fix="pip install 'embedtune[traces]', or unset OTEL_TRACES_EXPORTER and OTEL_EXPORTER_OTLP_…",
        ) from error
    own = {"service.version": __version__}
    if "OTEL_SERVICE_NAME" not in environment and "service.name=" not in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        own["service.name"] = SERVICE
    provider = TracerProvider(resource=Resource.create(own))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


def wanted(environment: Mapping[str, str]) -> bool:
    """Return whether the standard variables switch traces on.

    Raises:
        ConfigError: They ask for another exporter or protocol.
    """
    named = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
    default = "otlp" if any(environment.get(name) for name in named) else "none"
    exporter = environment.get("OTEL_TRACES_EXPORTER") or default
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none":
        return False
    if exporter != "otlp":
        raise ConfigError(
            "traces go only to an OTLP collector", got=f"OTEL_TRACES_EXPORTER={exporter}", expected="otlp"
        )
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := environment.get(name):
            if protocol != PROTOCOL:
                raise ConfigError("traces are sent by OTLP over HTTP", got=f"{name}={protocol}", expected=PROTOCOL)
            break
    return True
