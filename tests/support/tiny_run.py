"""A corpus, a model and settings that are small enough for complete runs in a test."""

import random
from pathlib import Path
from typing import Any

from tests.support.tiny_model import TINY_DIMENSION, make_tiny_model

DOCUMENTS = 12
_PARTS = (
    "press",
    "kiln",
    "drum",
    "valve",
    "pump",
    "seal",
    "hoist",
    "chain",
    "cutter",
    "belt",
    "brine tank",
    "hopper",
)
_VERBS = ("check", "clean", "replace", "open", "close", "read", "set", "stop")
_FAULTS = ("alarm", "leak", "high pressure", "low temperature", "worn pin", "wet store", "hot oil", "torque limit")


def write_documents(folder: Path) -> Path:
    """Write one Markdown file per machine part, with its faults and codes; no two are near-duplicates."""
    folder.mkdir(parents=True)
    for number, part in enumerate(_PARTS[:DOCUMENTS]):
        source = random.Random(number)
        sections = []
        for fault in source.sample(_FAULTS, 4):
            code = f"{part[:2].upper()}-{source.randint(100, 999)}"
            places = [(source.choice(_VERBS), source.choice(_PARTS), source.randint(2, 90)) for _ in range(5)]
            steps = [f"{verb} the {place} at {bar} bar" for verb, place, bar in places]
            sections.append(
                f"## {fault} {code}\n\nCode {code} on the {part} says {fault}. First {'; then '.join(steps)}."
            )
        text = "\n\n".join(sections)
        (folder / f"{number:02d}-{part.replace(' ', '-')}.md").write_text(f"# The {part}\n\n{text}\n")
    return folder


def overrides(work: Path, base_url: str) -> str:
    """Return settings, one per line, for a run with a tiny model and the LLM at `base_url`."""
    return "\n".join(f"{key}={value}" for key, value in settings(work, base_url).items())


def settings(work: Path, base_url: str) -> dict[str, Any]:
    """Return the same settings as data."""
    return {
        "contract.base_model": str(make_tiny_model(work / "base")),
        "contract.weights_sha256": "null",  # as text: the KFP SDK cannot send null
        "contract.dimensions": [TINY_DIMENSION],
        "ingest.min_words": 20,
        "ingest.max_words": 60,
        "generate.llm.base_url": base_url,
        "generate.llm.model": "test",
        "generate.questions_per_chunk": 1,
        "generate.max_hops": 2,
        "generate.duplicate_similarity": 0.995,  # to an untrained model all questions look alike
        "mine.min_negatives": 1,
        "mine.negatives": 2,
        "mine.max_short_share": 1.0,
        "train.negatives": 1,
        "train.epochs": 1,
        "evaluate.interval_samples": 200,
        "runtime.device": "cpu",
    }
