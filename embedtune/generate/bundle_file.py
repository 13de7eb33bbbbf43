"""The bundles of earlier runs, kept in the cache directory so that new documents change none of them."""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict, RootModel, ValidationError

from embedtune.core.config.config import Config
from embedtune.core.errors import ArtifactError


class KnownBundles(RootModel[tuple[tuple[str, ...], ...]]):
    """The content of the file: the chunk ids of each bundle.

    The format has no room for a version, and it must not change: the questions about these bundles were paid for.
    """

    model_config = ConfigDict(frozen=True)


def bundle_file(config: Config, cache: Path) -> Path:
    """Return the path of the file, which differs for other settings or base models, since they make other bundles.

    Args:
        config: The whole configuration; contract, seed and settings of generate are in the name.
        cache: Cache directory of the run.
    """
    settings = config.generate
    parts = (config.contract.hash, config.seed, settings.bundles_per_chunk, settings.max_hops, settings.max_chunks)
    return cache / f"bundles-{'-'.join(map(str, parts))}.json"


def read_bundles(path: Path) -> tuple[tuple[str, ...], ...]:
    """Return the bundles of earlier runs, or none if there is no file.

    Raises:
        ArtifactError: The file is damaged.
    """
    if not path.is_file():
        return ()
    try:
        return KnownBundles.model_validate_json(path.read_bytes()).root
    except ValidationError as error:
        raise ArtifactError(
            f"{path} is damaged",
            got=error.errors()[0]["msg"],
            expected="the chunk ids of each bundle",
            fix="restore it or delete it; without it, different bundles may be made and paid for",
        ) from error


def write_bundles(path: Path, bundles: Sequence[Sequence[str]]) -> None:
    """Write the chunk ids of bundles; the file is replaced in one step."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps([list(bundle) for bundle in bundles]))
    draft.replace(path)
