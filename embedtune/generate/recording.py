"""Recordings: the replies of a real LLM about a corpus, exported once and replayed without an LLM endpoint."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from embedtune import __version__
from embedtune.core.config.config import Config
from embedtune.core.config.generate import GenerateSettings, LLMEndpointSettings
from embedtune.core.errors import InputError
from embedtune.core.progress import SilentProgress
from embedtune.generate.ask_llm import Reply, judging_requests, no_reply, read_replies
from embedtune.generate.bundle_file import bundle_file, read_bundles
from embedtune.generate.bundles import known_bundles
from embedtune.generate.masking import mask_calls
from embedtune.generate.passages import Passage, read_passages
from embedtune.generate.prompts import Prompts, prompts_of
from embedtune.generate.questions_to_ask import QuestionCall, chosen_passages, multi_hop_calls, single_hop_calls
from embedtune.generate.recording_header import RecordedModel, RecordingHeader
from embedtune.generate.reply_source import REPLIES, judge_settings
from embedtune.generate.requests import writing_request
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMRequest, identity_of
from embedtune.llm.schema import Problem, read_as


def export_recording(chunks: Path, cache: Path, output: Path, config: Config, licence: str, date: str) -> int:
    """Write the replies of a run as a recording: only those to its own calls, none to earlier prompts or settings.

    Args:
        chunks: The chunks artifact of the run.
        cache: Cache directory of the run.
        output: The file to write.
        config: The configuration of the run.
        licence: Licence of the LLM, for whoever replays the recording.
        date: Date of the recording, YYYY-MM-DD.

    Returns:
        The number of replies.

    Raises:
        InputError: The cache has no reply to a call of this configuration.
    """
    path = cache / REPLIES
    if not path.is_file():
        raise InputError(
            f"there are no LLM replies in {cache}", fix="run `embedtune generate` with an LLM endpoint first"
        )
    bundles = read_bundles(bundle_file(config, cache))
    prompts = prompts_of(config.generate)
    passages = read_passages(chunks, config.contract, config.generate.context_words)
    calls = replayed_calls(passages, config.generate, config.seed, bundles)
    calls = mask_calls(calls, config.generate.mask, SilentProgress()).calls
    with (
        tempfile.TemporaryDirectory() as folder,
        ResponseCache(path) as stored,
        ResponseCache(Path(folder) / "chosen.sqlite") as chosen,
    ):
        missing = _copy_replies(calls, config.generate, prompts, stored, chosen)
        if not len(chosen):
            raise InputError(
                f"none of the LLM replies in {cache} belongs to this configuration",
                fix="use the configuration of the run",
            )
        header = RecordingHeader(
            embedtune=__version__,
            licence=licence,
            date=date,
            generator=RecordedModel.of(config.generate.llm),
            judge=RecordedModel.of(judge_settings(config.generate)),
            prompts=prompts.versions,
            bundles=bundles,
            unanswered=tuple(sorted(missing)),
        )
        chosen.export(output, header)
        return len(chosen)


def replayed_calls(
    passages: Sequence[Passage], settings: GenerateSettings, seed: int, bundles: Sequence[Sequence[str]]
) -> list[QuestionCall]:
    """Return the question calls of a replay, which makes no new bundles.

    Args:
        passages: All passages.
        settings: Number and proportions of the questions.
        seed: Seed of the configuration.
        bundles: Chunk ids of the recorded bundles.
    """
    chosen = chosen_passages(passages, settings, seed)
    single = single_hop_calls(chosen, settings, seed)
    return single + multi_hop_calls(known_bundles(bundles, chosen), settings, seed)


def _copy_replies(
    calls: Sequence[QuestionCall],
    settings: GenerateSettings,
    prompts: Prompts,
    stored: ResponseCache,
    chosen: ResponseCache,
) -> list[str]:
    """Copy the replies that a replay of these calls needs; return the keys of the requests without a reply."""
    copy = _Copy(stored, chosen, [])
    generator, judge = settings.llm, judge_settings(settings)
    replies = copy.replies(generator, [writing_request(call, prompts) for call in calls])
    written = read_replies(calls, replies, (generator.model, judge.model))
    copy.replies(judge, judging_requests(calls, written, prompts))
    return copy.missing


@dataclass(frozen=True)
class _Copy:
    """Copies replies from one cache to another, and records which requests have no reply."""

    origin: ResponseCache
    target: ResponseCache
    missing: list[str]

    def replies(self, settings: LLMEndpointSettings, requests: Sequence[LLMRequest[BaseModel]]) -> list[Reply]:
        """Return the reply that a replay will give."""
        return [self._reply(settings, request) for request in requests]

    def _reply(self, settings: LLMEndpointSettings, request: LLMRequest[BaseModel]) -> Reply:
        identity = identity_of(settings, request)
        stored = self.origin.get(identity)
        reply = read_as(request.schema, stored.text) if stored else None
        if stored is None or reply is None or isinstance(reply, Problem):
            self.missing.append(identity.key)
            return no_reply(request)
        self.target.put(identity, stored)
        return reply
