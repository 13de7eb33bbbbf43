"""Plans the question calls: which questions are asked about which passages, decided by hash before any LLM call.

Each label of a question depends only on the seed, the passages and the place of the question in its call. So new
documents change no question call about other passages, and the replies to those calls stay in the cache.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from embedtune.core.config.generate import GenerateSettings
from embedtune.generate.passages import Passage

Label = TypeVar("Label", str, int)
MULTI_HOP = "multi_hop"
HARDEST = 5
KIND_NAMES = {
    "licence": "licence",
    "changelog": "changelog",
    "contents": "table-of-contents",
    "reference": "generated-reference",
}


@dataclass(frozen=True)
class QuestionSlot:
    """One question to be written. Its labels are what was requested, not what the LLM says about its question."""

    style: str
    query_type: str
    reasoning_type: str
    complexity: int
    persona: str = ""


@dataclass(frozen=True)
class QuestionCall:
    """One call: passages, and the question slots to be filled from all of them together.

    Attributes:
        passages: The passages as the LLM sees them.
        slots: The questions to be written.
        hidden: The values that placeholders in the passages stand for; they never leave the machine.
    """

    passages: tuple[Passage, ...]
    slots: tuple[QuestionSlot, ...]
    hidden: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> str:
        """Identifies the passages."""
        return "+".join(passage.chunk_id for passage in self.passages)

    @property
    def documents(self) -> tuple[str, ...]:
        """Ids of the documents that the passages are from."""
        return tuple(sorted({passage.doc_id for passage in self.passages}))


def draw(*parts: object) -> float:
    """Return a number in [0, 1) that depends only on `parts`."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def choose(shares: Mapping[Label, float], at: float) -> Label:
    """Return the label at the place `at` in [0, 1), where sorted labels divide the interval by their shares."""
    labels = sorted(label for label in shares if shares[label] > 0)
    end, place = 0.0, at * sum(shares[label] for label in labels)
    for label in labels:
        end += shares[label]
        if place < end:
            return label
    return labels[-1]


def chosen_passages(passages: Iterable[Passage], settings: GenerateSettings, seed: int) -> list[Passage]:
    """Return the usable passages to write questions about, at most `max_chunks`, chosen by hash.

    Of kinds that people rarely ask about, only a share takes part.
    """
    usable = [passage for passage in passages if passage.usable and _worth_asking(passage, settings, seed)]
    usable.sort(key=lambda passage: draw(seed, "chosen", passage.chunk_id))
    return sorted(usable[: settings.max_chunks], key=lambda passage: passage.chunk_id)


def _worth_asking(passage: Passage, settings: GenerateSettings, seed: int) -> bool:
    share = settings.asked_shares.of(passage.kind)
    return share >= 1.0 or draw(seed, "kind", passage.chunk_id) < share


def unasked_notes(passages: Sequence[Passage], calls: Sequence[QuestionCall]) -> list[str]:
    """Say how many passages of the kinds that people rarely ask about get questions."""
    asked = {passage.chunk_id for call in calls for passage in call.passages}
    found = Counter(passage.kind for passage in passages if passage.usable and passage.kind != "prose")
    chosen = Counter(passage.kind for passage in passages if passage.chunk_id in asked)
    if not found:
        return []
    parts = ", ".join(f"{chosen[kind]} of {found[kind]} {KIND_NAMES[kind]}" for kind in sorted(found))
    return [f"questions are asked about {parts} passages (generate.asked_shares)"]


def single_hop_calls(passages: Sequence[Passage], settings: GenerateSettings, seed: int) -> list[QuestionCall]:
    """Return one call per passage.

    Args:
        passages: The passages to write questions about.
        settings: Number and proportions of the questions.
        seed: Seed of the configuration.
    """
    return [_call((passage,), settings.questions_per_chunk, settings, seed) for passage in passages]


def multi_hop_calls(
    bundles: Sequence[tuple[Passage, ...]], settings: GenerateSettings, seed: int
) -> list[QuestionCall]:
    """Return one call per bundle."""
    return [_call(bundle, settings.questions_per_bundle, settings, seed) for bundle in bundles]


def _call(passages: tuple[Passage, ...], count: int, settings: GenerateSettings, seed: int) -> QuestionCall:
    key = "+".join(passage.chunk_id for passage in passages)
    several = len(passages) > 1
    slots = []
    personas = dict.fromkeys(settings.personas, 1.0) or {"": 1.0}
    for place in range(count):
        at = [draw(seed, key, place, kind) for kind in ("style", "type", "reasoning", "complexity", "persona")]
        query_type = MULTI_HOP if several else choose(settings.query_types, at[1])
        reasoning = choose(settings.reasoning_types, at[2])
        complexity = choose({int(level): share for level, share in settings.complexities.items()}, at[3])
        # A question that joins several passages needs at least one fact from each.
        complexity = max(complexity, min(len(passages) + 1, HARDEST)) if several else complexity
        style, persona = choose(settings.styles, at[0]), choose(personas, at[4])
        slots.append(QuestionSlot(style, query_type, reasoning, complexity, persona))
    return QuestionCall(passages, tuple(slots))
