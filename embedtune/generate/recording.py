"""Recordings: the replies of a real model over a corpus, exported once, replayed without an endpoint."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from embedtune import __version__
from embedtune.core.artifacts import file_sha256
from embedtune.core.config.config import Config
from embedtune.core.config.generate import EndpointSettings, GenerateSettings
from embedtune.core.errors import InputError
from embedtune.generate.asks import writing_ask
from embedtune.generate.bundles import known_bundles
from embedtune.generate.calls import Sheet, chosen_passages, plan_multi, plan_single
from embedtune.generate.passages import read_passages
from embedtune.generate.prompts import prompt_versions
from embedtune.generate.write import judging_asks, no_reply, read_replies
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import Ask, request_of
from embedtune.llm.schema import Problem, read_as
from embedtune.llm.wire import configured_url

SAMPLE = "sample"  # the recording that embedtune ships
REPLIES = "llm.sqlite"  # in the cache directory: what was paid for


class Model(BaseModel):
    """What of an endpoint's settings decides its replies."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str
    temperature: float
    top_p: float
    max_tokens: int


class Header(BaseModel):
    """What a recording says about itself.

    Attributes:
        unanswered: Keys of requests that got no usable reply: a replay must not take them for other documents.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    embedtune: str
    licence: str
    date: str
    generator: Model
    judge: Model
    prompts: dict[str, str]
    bundles: list[list[str]]
    unanswered: list[str]


@dataclass(frozen=True)
class Source:
    """Where replies come from: endpoints with a cache, or a recording."""

    generator: EndpointSettings
    judge: EndpointSettings
    cache: ResponseCache
    replay: bool
    bundles: Sequence[Sequence[str]]
    note: str
    unanswered: frozenset[str] = frozenset()


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
    shipped = Path(str(resources.files("embedtune") / "sample" / "recording.jsonl.gz"))
    path = shipped if settings.recording == SAMPLE else Path(settings.recording)
    if not path.is_file():
        raise InputError(
            "there is no such recording", got=str(path), fix="name a file that `embedtune record` wrote"
        )
    return path


def require_source(settings: GenerateSettings) -> None:
    """Refuse a configuration that nothing could answer, before any work is done.

    Raises:
        InputError: The recording is not there.
        EndpointError: There is no recording, and generator or judge has no endpoint.
    """
    if recording_path(settings) is None:
        for endpoint in (settings.llm, judge_settings(settings)):
            configured_url(endpoint)


def open_source(config: Config, cache: Path) -> Source:
    """Open the recording that is configured, or the endpoints with the cache of earlier replies.

    Args:
        config: The whole configuration.
        cache: Cache directory of the run.
    """
    path = recording_path(config.generate)
    cache.mkdir(parents=True, exist_ok=True)
    if path is None:
        replies = ResponseCache(cache / REPLIES)
        llm = config.generate.llm
        return Source(llm, judge_settings(config.generate), replies, False, _read_bundles(config, cache), "")
    # Named by content: replies of an older recording must not mix in.
    replies = ResponseCache(cache / f"recording-{file_sha256(path)[:16]}.sqlite")
    header = _read_header(path, replies.import_recording(path))
    generator, judge = (EndpointSettings(**model.model_dump()) for model in (header.generator, header.judge))
    names = " and ".join(sorted({generator.model, judge.model}))
    note = f"replays recorded replies of {names} ({header.licence}, {header.date}): no LLM was called"
    if header.unanswered:
        count = len(header.unanswered)
        note += f"; {count} {'call has' if count == 1 else 'calls have'} no reply in it"
    return Source(generator, judge, replies, True, header.bundles, note, frozenset(header.unanswered))


def _read_header(path: Path, data: dict[str, Any]) -> Header:
    try:
        return Header.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{path} is a recording of something else",
            got=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            expected="a file that `embedtune record` of this version wrote",
        ) from error


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


def export_recording(chunks: Path, cache: Path, output: Path, config: Config, licence: str, date: str) -> int:
    """Write the replies of a run as a recording: those to its own calls, none of an earlier prompt or setting.

    Args:
        chunks: The chunks artifact of the run.
        cache: Cache directory of the run.
        output: The file to write.
        config: The configuration of the run.
        licence: Licence of the model, for whoever replays it.
        date: When it was recorded, YYYY-MM-DD.

    Returns:
        The number of replies.

    Raises:
        InputError: The cache holds no reply to a call of this configuration.
    """
    path = cache / REPLIES
    if not path.is_file():
        raise InputError(f"{cache} holds no replies", fix="run generate with an endpoint first")
    bundles = _read_bundles(config, cache)
    sheets = _recorded_sheets(chunks, config, bundles)
    with (
        tempfile.TemporaryDirectory() as folder,
        ResponseCache(path) as kept,
        ResponseCache(Path(folder) / "chosen.sqlite") as chosen,
    ):
        missing = _copy_replies(sheets, config, kept, chosen)
        if not len(chosen):
            raise InputError(
                f"{cache} holds no reply to a call of this configuration",
                fix="name the configuration that the run had",
            )
        header = Header(
            embedtune=__version__,
            licence=licence,
            date=date,
            generator=_model(config.generate.llm),
            judge=_model(judge_settings(config.generate)),
            prompts=prompt_versions(),
            bundles=bundles,
            unanswered=sorted(missing),
        )
        chosen.export(output, header.model_dump(mode="json"))
        return len(chosen)


def _copy_replies(
    sheets: Sequence[Sheet], config: Config, kept: ResponseCache, chosen: ResponseCache
) -> list[str]:
    """Copy the replies that a replay of these sheets needs; return the keys of the requests without one."""
    copy = _Copy(kept, chosen, [])
    generator, judge = config.generate.llm, judge_settings(config.generate)
    replies = copy.answers(generator, [writing_ask(sheet) for sheet in sheets])
    copy.answers(judge, judging_asks(sheets, read_replies(sheets, replies, (generator.model, judge.model))))
    return copy.missing


def _recorded_sheets(chunks: Path, config: Config, bundles: Sequence[Sequence[str]]) -> list[Sheet]:
    passages = chosen_passages(read_passages(chunks, config.contract), config.generate, config.seed)
    multi = plan_multi(known_bundles(bundles, passages), config.generate, config.seed)
    return plan_single(passages, config.generate, config.seed) + multi


def _model(settings: EndpointSettings) -> Model:
    return Model(**settings.model_dump(include=set(Model.model_fields)))


@dataclass(frozen=True)
class _Copy:
    """Copies the replies to asks from one cache to another, and notes the requests without one."""

    source: ResponseCache
    target: ResponseCache
    missing: list[str]

    def answers(self, settings: EndpointSettings, asks: Sequence[Ask[Any]]) -> list[Any]:
        """Return what a replay will answer."""
        return [self._answer(settings, ask) for ask in asks]

    def _answer(self, settings: EndpointSettings, ask: Ask[Any]) -> Any:
        request = request_of(settings, ask)
        stored = self.source.get(request.key)
        reply = read_as(ask.schema, stored.text) if stored else None
        if stored is None or isinstance(reply, Problem):
            self.missing.append(request.key)
            return no_reply(ask)
        self.target.put(request, stored)
        return reply
