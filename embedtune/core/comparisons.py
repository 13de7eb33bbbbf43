"""The sets and models for a comparison, in addition to the tuned model's own test split and its base."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from embedtune.core.errors import ConfigError

SYNTHETIC = "synthetic"  # the evaluation set that is the dataset's own test split

# Input of an evaluation: the fingerprint of the model artifact that it compared with as the champion.
CHAMPION_MODEL = "champion_model"


@dataclass(frozen=True)
class Comparisons:
    """The sets and models that evaluate measures in addition to base and tuned on the synthetic test set.

    Args:
        eval_sets: BEIR directories by name, in the user's order; the first one decides the verdict.
        champion: Directory of the model that is live now, or None.
        endpoint: Address of a live service (see `open_endpoint`) to measure too, or None.
    """

    eval_sets: dict[str, Path] = field(default_factory=dict)
    champion: Path | None = None
    endpoint: str | None = None


def parse_eval_sets(pairs: Iterable[str], *, expected: str) -> dict[str, str]:
    """Return the address of each evaluation set by its name, from NAME=ADDRESS pairs.

    Args:
        pairs: The pairs; their order is kept.
        expected: What a pair must look like, for the error message.

    Raises:
        ConfigError: A value is not such a pair, or a name is used twice or reserved.
    """
    sets: dict[str, str] = {}
    for pair in pairs:
        name, _, address = pair.partition("=")
        if not name or not address:
            raise ConfigError("not an evaluation set", got=pair, expected=expected)
        if name in sets or name == SYNTHETIC:
            raise ConfigError("another evaluation set already has this name", got=name, fix="choose another name")
        sets[name] = address
    return sets
