"""Why an attempt at an LLM call returned no completion, and whether another one may help."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import openai

from embedtune.llm.pacing import parse_retry_after
from embedtune.llm.refusals import Refusal, is_miswritten, is_moderated, is_too_long, read_refusal

# These statuses concern every request: continuing would only repeat the error.
FATAL = {
    401: ("does not accept the API key", "set the variable {key_env} to a valid key ({section}.api_key_env)"),
    402: ("requires payment", "settle the account of this key and run again"),
    403: ("denies access", "check what the key in {key_env} gives access to"),
    404: ("does not know the model or the URL", "check {section}.model and {section}.base_url (…/v1)"),
}
NO_PROVIDER = (
    "has no provider for such requests",
    "check {section}.model, what {section}.extra asks of providers, and the privacy settings of the account",
)
NO_QUOTA = "insufficient_quota"
RETRIED = {408, 409, 425, 429}
CONGESTED = {429, 503, 529}  # 529: Claude
CONNECTION, TIMEOUT = "connection", "timeout"
# By name: versions of the openai package use different HTTP libraries.
NOT_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout"}
TOO_LONG = "context too long"
MODERATED = "moderated"


@dataclass(frozen=True)
class Failure:
    """Why one attempt returned no completion.

    Attributes:
        kind: Short reason.
        detail: The LLM endpoint's own words, safe to display.
        again: Whether another attempt may help.
        congested: Whether the LLM endpoint is overloaded.
        retry_after_s: Wait that the LLM endpoint asks for, if any.
        refusal: What the server said, if a server answered.
    """

    kind: str
    detail: str
    again: bool
    congested: bool = False
    retry_after_s: float | None = None
    refusal: Refusal | None = None

    @property
    def status(self) -> int | None:
        """HTTP status, if a server answered."""
        return self.refusal.status if self.refusal else None

    @property
    def miswritten(self) -> bool:
        """Whether the server refused what its own model wrote."""
        return self.refusal is not None and is_miswritten(self.refusal)


def failure_of(refusal: Refusal, detail: str, retry_after: str | None = None) -> Failure:
    """Return the failure that an error response is.

    Args:
        refusal: What the server said.
        detail: Its words, safe to display.
        retry_after: The header Retry-After, if there is one.
    """
    status = refusal.status
    if is_too_long(refusal):
        return Failure(TOO_LONG, detail, again=False, refusal=refusal)
    if is_moderated(refusal):
        return Failure(MODERATED, detail, again=False, refusal=refusal)
    return Failure(
        kind=f"HTTP {status}",
        detail=detail,
        again=status in RETRIED or status >= 500 or is_miswritten(refusal),
        congested=status in CONGESTED,
        retry_after_s=parse_retry_after(retry_after, datetime.now(UTC)),
        refusal=refusal,
    )


def cost_of_error(error: Exception, most_usd: float) -> float | None:
    """Return what an attempt has cost that ended with an error, in USD; None if that is not known.

    Providers charge for replies, not for errors. A reply that took too long was written, for as long as it took.
    """
    if isinstance(error, openai.APIStatusError) or type(error.__cause__).__name__ in NOT_SENT:
        return 0.0
    return most_usd if isinstance(error, TimeoutError | openai.APITimeoutError) else None


def refusal_in(error: openai.APIStatusError) -> Refusal:
    """Return what a server said, from the response itself: the openai package drops some forms of words."""
    body: object = error.response.text or error.body
    if isinstance(error.body, Mapping) and not error.response.text:
        body = {"error": error.body}
    return read_refusal(error.status_code, body, error.message)
