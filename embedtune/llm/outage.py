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
        self._alone: set[str] = set()  # chats that failed while no other one did
        self._failed = False  # whether a chat was given up since the last answer

    @property
    def silent(self) -> bool:
        """Whether the LLM endpoint has answered nothing in this run."""
        return self._last_answer is None

    def answered(self) -> None:
        """Take notice of a completion."""
        if self._out:
            log.warning("the LLM endpoint %s answers again", shown_url(self._settings))
        self._out = self._failed = False
        self._last_answer = time.monotonic()

    def is_out(self, failure: Failure, failed_first: float, chat: str) -> bool:
        """Return whether the LLM endpoint answers nobody at present, and is waited for.

        One chat that a server cannot answer is no outage, also when nothing else is in flight: it is given up, and
        only if the next one fails too, or no connection can be made, the LLM endpoint is waited for.

        Args:
            failure: The last failure of a request.
            failed_first: When that request failed first, in seconds of the monotonic clock.
            chat: The chat that was sent.

        Raises:
            LLMEndpointError: It has been waited for as long as the settings say.
        """
        if self._last_answer is None or not self._settings.outage_s:
            return False
        if self._last_answer > failed_first or (failure.kind != CONNECTION and self._is_alone(chat)):
            self._alone.add(chat)
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

    def _is_alone(self, chat: str) -> bool:
        """Return whether it may be this chat that cannot be answered, and not the LLM endpoint that is out."""
        first, self._failed = not self._failed, True
        return first or chat in self._alone
