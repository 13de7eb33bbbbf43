"""What a client is told for an error of Triton: what it may send again is never "the model failed"."""

import pytest
from tritonclient.utils import InferenceServerException

from embedtune.serve.gateway.http_errors import refusal_of


@pytest.mark.parametrize(
    ("message", "status", "expected"),
    [
        ("failed to connect to all addresses", "StatusCode.UNAVAILABLE", (503, "unavailable", 1)),
        (
            "Request for unknown model: 'e@1' has no available versions",
            "StatusCode.NOT_FOUND",
            (503, "unavailable", 1),
        ),
        ("CANCELLED", "StatusCode.CANCELLED", (503, "unavailable", 1)),  # killed while it worked on the request
        ("Exceeds maximum queue size", "StatusCode.UNAVAILABLE", (429, "rate_limit_exceeded", 1)),
        ("Request timeout expired", "StatusCode.UNAVAILABLE", (504, "timeout", 1)),
        ("Deadline Exceeded", "StatusCode.DEADLINE_EXCEEDED", (504, "timeout", 1)),
        ("onnxruntime: bad graph", "StatusCode.INTERNAL", (500, "internal_error", None)),
    ],
)
def test_status_and_code_follow_from_tritons(
    message: str, status: str, expected: tuple[int, str, float | None]
) -> None:
    refused = refusal_of(InferenceServerException(message, status), 0)
    assert (refused.status, refused.code, refused.retry_after_s) == expected
