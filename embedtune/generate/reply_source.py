"""The reply source: LLM endpoints with a cache of earlier replies, or a recording."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from embedtune.core.artifacts import file_sha256
from embedtune.core.config.config import Config
from embedtune.core.config.generate import GenerateSettings, LLMEndpointSettings
from embedtune.core.errors import InputError
from embedtune.generate.bundle_file import bundle_file, read_bundles
from embedtune.generate.recording_header import RecordingHeader
from embedtune.llm.cache import ResponseCache
from embedtune.llm.wire import require_configured

SAMPLE = "sample"  # the recording that embedtune ships
REPLIES = "llm.sqlite"  # in the cache directory; contains the replies that were paid for


@dataclass(frozen=True)
class ReplySource:
    """The source of LLM replies.

    Attributes:
        generator: Settings of the LLM that writes.
        judge: Settings of the LLM that judges.
        cache: The replies so far.
        replay: Whether the cache is a recording and nothing else may be asked.
        bundles: Chunk ids of the bundles that earlier runs or the recording used.
        note: A remark for the report, or "".
        unanswered: Keys of requests that got no usable reply when they were recorded.
        licence: Licence of the recorded LLM; "" if replies are not replayed: an LLM endpoint does not tell.
    """

    generator: LLMEndpointSettings
    judge: LLMEndpointSettings
    cache: ResponseCache
    replay: bool
    bundles: Sequence[Sequence[str]]
    note: str = ""
    unanswered: frozenset[str] = frozenset()
    licence: str = ""


def judge_settings(settings: GenerateSettings) -> LLMEndpointSettings:
    """Return the LLM endpoint of the judge: its own, or the generator's at temperature 0 (if it takes one)."""
    temperature = None if settings.llm.temperature is None else 0.0
    return settings.judge or settings.llm.model_copy(update={"temperature": temperature})


def recording_path(settings: GenerateSettings) -> Path | None:
    """Return the path of the recording to replay, or None if none is configured.

    Raises:
        InputError: The recording does not exist.
    """
    if settings.recording is None:
        return None
    shipped = Path(str(resources.files("embedtune") / "sample" / "recording.jsonl.gz"))
    path = shipped if settings.recording == SAMPLE else Path(settings.recording)
    if not path.is_file():
        raise InputError(
            "the recording does not exist",
            got=str(path),
            fix="set generate.recording to a file that `embedtune record` wrote",
        )
    return path


def require_reply_source(settings: GenerateSettings) -> None:
    """Refuse a configuration without a reply source, before any work is done.

    Raises:
        InputError: The recording does not exist.
        LLMEndpointError: There is no recording, and generator or judge has no LLM endpoint.
    """
    if recording_path(settings) is None:
        for endpoint in (settings.llm, judge_settings(settings)):
            require_configured(endpoint)


def open_reply_source(config: Config, cache: Path) -> ReplySource:
    """Open the recording that is configured, or the LLM endpoints with the cache of earlier replies.

    Args:
        config: The whole configuration.
        cache: Cache directory of the run.

    Raises:
        InputError: The recording does not exist or is damaged.
    """
    path = recording_path(config.generate)
    cache.mkdir(parents=True, exist_ok=True)
    if path is not None:
        return _recorded(path, cache)
    known = read_bundles(bundle_file(config, cache))
    replies = ResponseCache(cache / REPLIES)
    return ReplySource(config.generate.llm, judge_settings(config.generate), replies, replay=False, bundles=known)


def _recorded(path: Path, cache: Path) -> ReplySource:
    # Named by content, so that the replies of two recordings never mix.
    replies = ResponseCache(cache / f"recording-{file_sha256(path)[:16]}.sqlite")
    header = replies.import_recording(path, RecordingHeader)
    return ReplySource(
        generator=header.generator.settings(),
        judge=header.judge.settings(),
        cache=replies,
        replay=True,
        bundles=header.bundles,
        note=_note(header),
        licence=header.licence,
        unanswered=frozenset(header.unanswered),
    )


def _note(header: RecordingHeader) -> str:
    names = " and ".join(sorted({header.generator.model, header.judge.model}))
    note = f"recorded replies of {names} ({header.licence}, {header.date}) were replayed; no LLM was called"
    if header.unanswered:
        count = len(header.unanswered)
        note += f"; {count} {'call has' if count == 1 else 'calls have'} no reply in it"
    return note
