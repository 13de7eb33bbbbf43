"""What the questions depend on in addition to the chunks, the settings and the code."""

import hashlib
from pathlib import Path

from embedtune.core.artifacts import file_sha256
from embedtune.core.config.config import Config
from embedtune.core.config.generate import GenerateSettings
from embedtune.core.records.reviews import Review, fingerprint, read_reviews
from embedtune.generate.prompts import prompts_of
from embedtune.generate.reply_source import recording_path


def further_inputs(config: Config) -> dict[str, str]:
    """Return a fingerprint of each further input of generate, by name.

    Args:
        config: The whole configuration.

    Raises:
        ConfigError: A prompt file or example query cannot be used.
        InputError: The recording or the reviews do not exist, or a review is not one.
    """
    recording = recording_path(config.generate)
    replayed = {} if recording is None else {"recording": file_sha256(recording)}
    # The rule by which the stage split would refuse the questions is part of what generate does.
    limit = {"split.duplicate_similarity": str(config.split.duplicate_similarity)}
    return replayed | _own_files(config.generate) | limit | _reviews(config.generate)


def _own_files(settings: GenerateSettings) -> dict[str, str]:
    """Return what the user's prompt files and example queries contain: other content makes other questions."""
    prompts = prompts_of(settings)
    found = {f"prompt.{name}": prompts.versions[name] for name in sorted(settings.prompts)}
    queries = "\n".join(prompts.queries)
    return found | ({"example_queries": hashlib.sha256(queries.encode()).hexdigest()} if queries else {})


def _reviews(settings: GenerateSettings) -> dict[str, str]:
    found = reviews_of(settings)
    return {"reviews": fingerprint(found)} if found else {}


def reviews_of(settings: GenerateSettings) -> dict[str, Review]:
    """Return what people decided about the questions, by question id; nothing without `generate.reviews`."""
    return {} if settings.reviews is None else read_reviews(Path(settings.reviews))
