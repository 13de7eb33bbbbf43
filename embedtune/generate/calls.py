"""Which questions are asked of which passages: decided by hash, before any call.

Each label of a question is a function of the seed, the passages and the question's place alone. So new documents
change no other passage's asks, and the replies to those stay in the cache.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from embedtune.core.config.generate import GenerateSettings
from embedtune.generate.passages import Passage

Label = TypeVar("Label", str, int)
MULTI_HOP = "multi_hop"
HARDEST = 5


@dataclass(frozen=True)
class Slot:
    """One question to be written; its labels are asked for, never taken from the model's own word."""

    style: str
    query_type: str
    reasoning_type: str
    complexity: int


@dataclass(frozen=True)
class Sheet:
    """One call: passages, and the questions to be written about all of them together."""

    passages: tuple[Passage, ...]
    slots: tuple[Slot, ...]

    @property
    def key(self) -> str:
        """Identity of the passages."""
        return "+".join(passage.chunk_id for passage in self.passages)


def draw(*parts: object) -> float:
    """Return a number in [0, 1) that depends on `parts` alone."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def choose(shares: Mapping[Label, float], at: float) -> Label:
    """Return the label at the place `at` in [0, 1) when labels take their shares of the line, in sorted order."""
    labels = sorted(label for label in shares if shares[label] > 0)
    end, place = 0.0, at * sum(shares[label] for label in labels)
    for label in labels:
        end += shares[label]
        if place < end:
            return label
    return labels[-1]


def chosen_passages(passages: Iterable[Passage], settings: GenerateSettings, seed: int) -> list[Passage]:
    """Return the passages that are asked about: no boilerplate, and at most `max_chunks`, chosen by hash."""
    usable = [passage for passage in passages if not passage.boilerplate]
    usable.sort(key=lambda passage: draw(seed, "chosen", passage.chunk_id))
    return sorted(usable[: settings.max_chunks], key=lambda passage: passage.chunk_id)


def plan_single(passages: Sequence[Passage], settings: GenerateSettings, seed: int) -> list[Sheet]:
    """Return one sheet a passage.

    Args:
        passages: The passages to ask about.
        settings: How many questions, in which proportions.
        seed: Of the configuration.
    """
    return [_sheet((passage,), settings.questions_per_chunk, settings, seed) for passage in passages]


def plan_multi(bundles: Sequence[tuple[Passage, ...]], settings: GenerateSettings, seed: int) -> list[Sheet]:
    """Return one sheet a bundle."""
    return [_sheet(bundle, settings.questions_per_bundle, settings, seed) for bundle in bundles]


def _sheet(passages: tuple[Passage, ...], count: int, settings: GenerateSettings, seed: int) -> Sheet:
    key = "+".join(passage.chunk_id for passage in passages)
    several = len(passages) > 1
    slots = []
    for place in range(count):
        at = [draw(seed, key, place, kind) for kind in ("style", "type", "reasoning", "complexity")]
        query_type = MULTI_HOP if several else choose(settings.query_types, at[1])
        reasoning = choose(settings.reasoning_types, at[2])
        complexity = choose({int(level): share for level, share in settings.complexities.items()}, at[3])
        # What joins several passages needs at least a fact of each.
        complexity = max(complexity, min(len(passages) + 1, HARDEST)) if several else complexity
        slots.append(Slot(choose(settings.styles, at[0]), query_type, reasoning, complexity))
    return Sheet(passages, tuple(slots))
