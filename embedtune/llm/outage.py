"""An LLM endpoint that has answered and stops answering is waited for, long enough for a restart of its server."""

import logging
import time

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.llm.failures import CONNECTION, Failure
from embedtune.llm.wire import shown_url, unusable

log = logging.getLogger(__name__)


class Outage:
    """Knows when an LLM endpoint has last answered, and whether it is waited for.

    Args:
        settings: The LLM endpoint.
    """

    def __init__(self, settings: LLMEndpointSettings) -> None:
        self._settings = settings
        self._last_answer: float | None = None
        self._out = False

    @property
    def silent(self) -> bool:
        """Whether the LLM endpoint has answered nothing in this run."""
        return self._last_answer is None

    def answered(self) -> None:
        """Take notice of a completion."""
        if self._out:
            log.warning("the LLM endpoint %s answers again", shown_url(self._settings))
        self._out = False
        self._last_answer = time.monotonic()

    def is_suspected(self, failure: Failure, failed_first: float) -> bool:
        """Return whether it is unknown if a failure is the LLM endpoint's or the chat's: nobody else was answered.

        Args:
            failure: The last failure of a request.
            failed_first: When that request failed first, in seconds of the monotonic clock.
        """
        waits = self._last_answer is not None and self._settings.outage_s > 0
        return waits and failure.kind != CONNECTION and not self._answered_since(failed_first)

    def is_out(self, failure: Failure, failed_first: float) -> bool:
        """Return whether the LLM endpoint answers nobody at present, and is waited for.

        Args:
            failure: The last failure of a request.
            failed_first: When that request failed first, in seconds of the monotonic clock.

        Raises:
            LLMEndpointError: It has been waited for as long as the settings say.
        """
        if self._last_answer is None or not self._settings.outage_s or self._answered_since(failed_first):
            return False
        waited = time.monotonic() - failed_first
        if waited >= self._settings.outage_s:
            raise unusable(
                self._settings,
                f"has answered nothing for {waited:.0f} s (outage_s)",
                failure.detail,
                "start the server and run the same command again: all replies so far are kept",
            )
        if not self._out:
            self._out = True
            log.warning(
                "the LLM endpoint %s does not answer (%s): waiting up to %.0f s",
                *(shown_url(self._settings), failure.detail, self._settings.outage_s),
            )
        return True

    def _answered_since(self, moment: float) -> bool:
        return self._last_answer is not None and self._last_answer > moment
