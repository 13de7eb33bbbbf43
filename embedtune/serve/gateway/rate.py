"""What the model can do, measured: tokens per second, and how many tokens a text of some bytes has."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

START_RATE = 1000.0  # tokens per second, before anything is measured: a small model on two cores does more
PRIOR_S = 1.0  # how long the first measurement has to be to count as much as START_RATE
MEMORY_S = 10.0  # seconds under load after which a measurement counts for a third (1/e)
TEXT_TOKENS = 2  # of every text: the tokenizer's first and last
START_RATIO = 0.25  # tokens per byte of English
START_LONGEST = 512  # tokens; a longer limit is learned from the first text that reaches it
PLAIN_BYTES = 1500  # of texts that are not truncated by any usual model
STEP = 0.1  # weight of the newest request's ratio


@dataclass
class Rate:
    """Tokens per second while there is enough work to keep the model busy; times without do not count.

    Args:
        measured_s: How long it has been measured.
    """

    measured_s: float = 0.0
    _tokens: float = START_RATE * PRIOR_S
    _seconds: float = PRIOR_S

    @property
    def tokens_per_s(self) -> float:
        """The rate now."""
        return self._tokens / self._seconds

    def add(self, tokens: int, busy_s: float) -> None:
        """Add what was answered, and the time under load since the last call."""
        self.measured_s += busy_s
        kept = math.exp(-busy_s / MEMORY_S)
        self._tokens = self._tokens * kept + tokens
        self._seconds = self._seconds * kept + busy_s


@dataclass
class Lengths:
    """Estimates how many tokens texts have; the tokenizer is behind Triton."""

    _ratio: float = START_RATIO
    _longest: int = START_LONGEST

    def estimate(self, text: bytes) -> int:
        """Return about how many tokens a text has."""
        return min(self._longest, TEXT_TOKENS + math.ceil(len(text) * self._ratio))

    def learn(self, texts: Sequence[bytes], tokens: Sequence[int]) -> None:
        """Compare texts with their tokens as the model counted them."""
        self._longest = max(self._longest, *tokens)
        pairs = [(len(text), count) for text, count in zip(texts, tokens, strict=True) if len(text) <= PLAIN_BYTES]
        if size := sum(length for length, _ in pairs):
            own = sum(max(0, count - TEXT_TOKENS) for _, count in pairs) / size
            self._ratio += STEP * (own - self._ratio)
