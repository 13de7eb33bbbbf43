"""What happens between this process and an LLM endpoint: counts, and the time limit of calls."""

import logging
from dataclasses import dataclass

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.llm.pacing import AdaptiveLimit
from embedtune.llm.wire import shown_url

log = logging.getLogger(__name__)

# A call that is alone and still takes too long gets twice the time, up to this multiple of timeout_s.
MOST_STRETCHED = 4.0


@dataclass(frozen=True)
class Traffic:
    """Counts of one client.

    Attributes:
        in_flight: Requests that wait for a reply now.
        timed_out: Attempts that took too long.
        retried: Attempts that were followed by another one.
        time_limit_s: Time limit of a call now, in seconds.
    """

    in_flight: int = 0
    timed_out: int = 0
    retried: int = 0
    time_limit_s: float = 0.0


class Pressure:
    """How hard an LLM endpoint is pressed: the number of calls in flight, and the time limit of each.

    As long as it has answered nothing, a call that takes too long first leaves one call at a time, and then gets
    more time.

    Args:
        settings: The LLM endpoint.
        section: Section of the configuration that they are from, for messages.
    """

    def __init__(self, settings: LLMEndpointSettings, section: str) -> None:
        self._settings = settings
        self._section = section
        self._timed_out = 0
        self.limit = AdaptiveLimit(settings.concurrency)
        self.time_limit_s = settings.timeout_s
        self.retried = 0

    @property
    def traffic(self) -> Traffic:
        """Counts so far."""
        return Traffic(self.limit.busy, self._timed_out, self.retried, self.time_limit_s)

    def congested(self, era: int, limit_s: float, *, timed_out: bool, silent: bool) -> None:
        """Take notice of a call that found the LLM endpoint congested.

        Args:
            era: When it was sent.
            limit_s: Its time limit.
            timed_out: Whether it took too long.
            silent: Whether the LLM endpoint has answered nothing yet.
        """
        self._timed_out += timed_out
        alone = timed_out and silent
        if alone and self.limit.is_new(era):
            self._relieve(limit_s)
        self.limit.congested(era, alone=alone)

    def _relieve(self, limit_s: float) -> None:
        most = MOST_STRETCHED * self._settings.timeout_s
        if (at_once := self.limit.limit) > 1:
            self._say(f"none of {at_once} calls was answered within {limit_s:g} s", "one at a time", "concurrency")
        elif limit_s == self.time_limit_s < most:
            self.time_limit_s = min(most, 2 * limit_s)
            self._say(
                f"a single call took longer than {limit_s:g} s", f"{self.time_limit_s:g} s each", "timeout_s"
            )

    def _say(self, what: str, from_now_on: str, key: str) -> None:
        log.warning(
            "the LLM endpoint %s is slow: %s; from now on %s. Set %s.%s (%g) to what it can do",
            *(shown_url(self._settings), what, from_now_on, self._section, key, getattr(self._settings, key)),
        )
