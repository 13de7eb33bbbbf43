"""Triton's own spans for OpenTelemetry: they become part of the gateway's traces."""

from collections.abc import Mapping, Sequence

PATH = "/v1/traces"
SERVICE = "embedtune-triton"
# Requests with a trace context are traced whatever the rate; of the others, one in so many, the most Triton takes.
RATE = 2**31 - 1


def trace_flags(environment: Mapping[str, str]) -> Sequence[str]:
    """Return the options of tritonserver that send its spans where OpenTelemetry's variables say; none by default.

    Args:
        environment: Usually `os.environ`. Triton itself gets none of these variables.
    """
    if (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environment.get("OTEL_TRACES_EXPORTER") == "none"
    ):
        return ()
    url = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not url and (base := environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")):
        url = base.rstrip("/") + PATH
    if not url:
        return ()
    return (
        "--trace-config=mode=opentelemetry",
        "--trace-config=level=TIMESTAMPS",  # not TENSORS, which are the texts
        f"--trace-config=rate={RATE}",
        f"--trace-config=opentelemetry,url={url}",
        f"--trace-config=opentelemetry,resource=service.name={environment.get('OTEL_SERVICE_NAME') or SERVICE}",
    )
