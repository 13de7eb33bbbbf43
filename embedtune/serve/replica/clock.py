"""How far the clock of the release store is ahead of this machine's, as closely as that is known.

S3 tells its time in a header of HTTP, in whole seconds (RFC 9110, 5.6.7): one answer leaves a second in doubt.
Answers at different moments of the second narrow it down.
"""

from dataclasses import dataclass

# The two clocks run at speeds that differ by at most this share: NTP changes that of a clock by up to 500 ppm.
DRIFT = 5e-4


@dataclass(frozen=True)
class StoreClock:
    """How far the store's clock is ahead of the monotonic one: at least and at most, in seconds.

    Args:
        least: The store's time is at least the monotonic one plus this.
        most: The store's time is at most the monotonic one plus this.
        seen_at: When an answer last said so, by the monotonic clock.
    """

    least: float = 0.0
    most: float = 0.0
    seen_at: float | None = None

    def narrowed(self, store_now: float, tick_s: float, began: float, ended: float) -> "StoreClock":
        """Return what is known after one more answer of the store.

        Args:
            store_now: The store's time in it, cut off to `tick_s`.
            tick_s: Seconds; 0: the time is exact.
            began: When the store was asked, by the monotonic clock.
            ended: When its answer had arrived.
        """
        answer = StoreClock(store_now - ended, store_now + tick_s - began, ended)
        if self.seen_at is None:
            return answer
        drift = DRIFT * (ended - self.seen_at)
        least, most = max(self.least - drift, answer.least), min(self.most + drift, answer.most)
        # Both cannot be true if one of the clocks was set in between.
        return StoreClock(least, most, ended) if least <= most else answer
