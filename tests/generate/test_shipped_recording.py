"""The shipped recording still answers the calls about the handbook: keys, prompts and draws are unchanged."""

import asyncio

import pytest

from embedtune.core.config.load import load_config
from embedtune.core.progress import SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.generate.ask_llm import Writers, write_questions
from embedtune.generate.estimate import estimate_calls
from embedtune.generate.passages import read_passages
from embedtune.generate.prompts import prompts_of
from embedtune.generate.questions import Question
from embedtune.generate.recording import _copy_replies, replayed_calls
from embedtune.generate.reply_source import open_reply_source
from embedtune.ingest import stage as ingest
from embedtune.llm.budget import Usage
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMClient
from embedtune.sample import HANDBOOK
from tests.support.context import context


def test_the_shipped_recording_answers_every_call(tmp_path):
    config, cache = load_config("demo-cpu"), tmp_path / "cache"
    ingest.run(str(HANDBOOK), tmp_path / "chunks", context(config, cache))
    source = open_reply_source(config, cache)
    passages = read_passages(tmp_path / "chunks", config.contract)
    calls = replayed_calls(passages, config.generate, config.seed, source.bundles)

    async def replay() -> tuple[list[Question], Usage]:
        generator = LLMClient(source.generator, None, source.cache, replay=True)
        judge = LLMClient(source.judge, None, source.cache, replay=True)
        writers = Writers(generator, judge, prompts_of(config.generate), source.unanswered)
        questions = await write_questions(calls, writers, config.generate.max_failed_share, SilentProgress())
        return questions, generator.usage + judge.usage

    # A request with another key than the recorded one would raise ReplayMiss.
    questions, usage = asyncio.run(replay())
    assert usage == Usage(cached_calls=265)  # 138 to write, and 127 to judge what was written
    assert [question.reason for question in questions if question.reason.startswith("failed")] == []
    assert len(questions) == 365


def test_an_estimate_from_a_few_replies_is_within_a_quarter_of_the_recorded_run(tmp_path):
    config, cache = load_config("demo-cpu"), tmp_path / "cache"
    ingest.run(str(HANDBOOK), tmp_path / "chunks", context(config, cache))
    source = open_reply_source(config, cache)
    passages = read_passages(tmp_path / "chunks", config.contract)
    calls = replayed_calls(passages, config.generate, config.seed, source.bundles)
    models = {"recording": None, "llm": source.generator, "judge": source.judge}
    live = config.model_copy(update={"generate": config.generate.model_copy(update=models)})
    query = "SELECT count(*), sum(prompt_tokens), sum(completion_tokens) FROM replies"
    real = source.cache._db.execute(query).fetchone()
    # Twelve of the 138 calls, as if a run had been interrupted early; nothing is known about the other bundles.
    with ResponseCache(cache / "llm.sqlite") as few:
        _copy_replies(calls[::12], live.generate, prompts_of(live.generate), source.cache, few)
    found = estimate_calls(tmp_path / "chunks", live, Secrets(), cache)
    estimated = (found.calls, found.prompt_tokens, found.completion_tokens)
    assert 15 <= found.measured <= 24
    assert estimated == pytest.approx(real, rel=0.25)
