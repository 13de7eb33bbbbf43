"""Recordings: the replies of a real model over a corpus, exported once, replayed without an endpoint."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedtune import __version__
from embedtune.core.artifacts import PACKAGE
from embedtune.core.errors import InputError
from embedtune.core.llm import ResponseCache
from embedtune.core.settings import Config, EndpointSettings, GenerateSettings
from embedtune.generate.prompts import prompt_versions

SAMPLE = "sample:"
PARAMETERS = ("model", "temperature", "top_p", "max_tokens")


@dataclass(frozen=True)
class Source:
    """Where replies come from: endpoints with a cache, or a recording."""

    generator: EndpointSettings
    judge: EndpointSettings
    cache: ResponseCache
    replay: bool
    bundles: Sequence[Sequence[str]]
    note: str


def judge_settings(settings: GenerateSettings) -> EndpointSettings:
    """Return the judge's endpoint: its own, or the generator's at temperature 0."""
    return settings.judge or settings.llm.model_copy(update={"temperature": 0.0})


def recording_path(settings: GenerateSettings) -> Path | None:
    """Return the recording that is to be replayed, if one is.

    Raises:
        InputError: It is not there.
    """
    if settings.recording is None:
        return None
    shipped = PACKAGE / "sample" / "recording.jsonl.gz"
    path = shipped if settings.recording == SAMPLE else Path(settings.recording)
    if not path.is_file():
        raise InputError(
            "there is no such recording", got=str(path), fix="name a file that `embedtune record` wrote"
        )
    return path


def open_source(config: Config, cache: Path) -> Source:
    """Open the recording that is configured, or the endpoints with the cache of earlier replies.

    Args:
        config: The whole configuration.
        cache: Cache directory of the run.
    """
    path = recording_path(config.generate)
    cache.mkdir(parents=True, exist_ok=True)
    if path is None:
        replies = ResponseCache(cache / "llm.sqlite")
        llm = config.generate.llm
        return Source(llm, judge_settings(config.generate), replies, False, _read_bundles(config, cache), "")
    replies = ResponseCache(cache / "recording.sqlite")
    header = replies.import_recording(path)
    generator, judge = (EndpointSettings(**header[role]) for role in ("generator", "judge"))
    names = " and ".join(sorted({generator.model, judge.model}))
    note = f"replays recorded replies of {names} ({header['licence']}, {header['date']}): no LLM was called"
    return Source(generator, judge, replies, True, header["bundles"], note)


def keep_bundles(config: Config, cache: Path, bundles: Sequence[Sequence[str]]) -> None:
    """Remember the bundles of a run, so that new documents change none of them."""
    path = _bundles_file(config, cache)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps([list(bundle) for bundle in bundles]))
    draft.replace(path)


def _read_bundles(config: Config, cache: Path) -> list[list[str]]:
    path = _bundles_file(config, cache)
    found: list[list[str]] = json.loads(path.read_text()) if path.is_file() else []
    return found


def _bundles_file(config: Config, cache: Path) -> Path:
    # Bundles made under other settings, or by another model, are other bundles.
    settings = config.generate
    parts = (config.contract.hash, config.seed, settings.bundles_per_chunk, settings.max_hops, settings.max_chunks)
    return cache / f"bundles-{'-'.join(map(str, parts))}.json"


def export_recording(cache: Path, output: Path, config: Config, licence: str, date: str) -> int:
    """Write the replies of a run as a recording.

    Args:
        cache: Cache directory of the run.
        output: The file to write.
        config: The configuration of the run.
        licence: Licence of the model, for whoever replays it.
        date: When it was recorded, YYYY-MM-DD.

    Returns:
        The number of replies.

    Raises:
        InputError: The cache holds no replies.
    """
    path = cache / "llm.sqlite"
    if not path.is_file():
        raise InputError(f"{cache} holds no replies", fix="run generate with an endpoint first")
    header: Mapping[str, Any] = {
        "embedtune": __version__,
        "licence": licence,
        "date": date,
        "generator": config.generate.llm.model_dump(include=set(PARAMETERS)),
        "judge": judge_settings(config.generate).model_dump(include=set(PARAMETERS)),
        "prompts": prompt_versions(),
        "bundles": _read_bundles(config, cache),
    }
    with ResponseCache(path) as replies:
        replies.export(output, header)
        return len(replies)
