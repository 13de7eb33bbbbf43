"""Stage generate: have an LLM write questions about the chunks, judge them, and keep those that are good."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from embedtune.core.artifacts import Figure, StageReport, file_sha256
from embedtune.core.config.config import Config
from embedtune.core.config.generate import GenerateSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress
from embedtune.core.secrets import Secrets
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.generate.bundles import bundle_ids, known_bundles, make_bundles
from embedtune.generate.calls import Sheet, chosen_passages, plan_multi, plan_single
from embedtune.generate.filters import (
    Corpus,
    by_scores,
    not_from_example,
    round_trip,
    with_ranks,
    without_duplicates,
)
from embedtune.generate.passages import Passage, read_passages
from embedtune.generate.prompts import prompt_versions
from embedtune.generate.recording import Source, keep_bundles, open_source, recording_path, require_source
from embedtune.generate.records import Question, write_tables
from embedtune.generate.slots import require_known
from embedtune.generate.write import Writers, write_questions
from embedtune.llm.budget import Budget, Usage
from embedtune.llm.client import LLMClient

MUCH_REJECTED = 0.5


def run(chunks: Path, output: Path, context: Context) -> StageReport:
    """Write, judge and filter questions.

    Args:
        chunks: The chunks artifact.
        output: Directory to write the questions artifact to.
        context: The configuration and everything else that the stage runs with.

    Raises:
        ConfigError: A label of the proportions is unknown.
        EndpointError: No endpoint is configured, or it cannot be used.
        ReplayMiss: The recording lacks a reply.
        GateError: The cost ceiling is reached, or too many calls fail.
    """
    this = StageRun("generate", output, context)
    settings = context.config.generate
    require_known(settings)
    recording = recording_path(settings)
    replayed = {} if recording is None else {"recording": file_sha256(recording)}
    return this.write({**this.read(chunks=chunks), **replayed}, lambda path: _generate(chunks, path, context))


def _generate(chunks: Path, path: Path, context: Context) -> Outcome:
    config, progress, cache = context.config, context.progress, context.cache
    require_source(config.generate)  # said now, not after the passages are embedded
    passages = read_passages(chunks, config.contract)
    base = resolve_base(config.contract, cache, config.storage, context.secrets)
    encoder = TorchEncoder(base, config.contract, config.runtime, cache / "embeddings")
    vectors = encoder.encode_passages([passage.text for passage in passages], progress)
    source = open_source(config, cache)
    sheets = plan(passages, vectors, config, source)
    if not source.replay:
        made = bundle_ids([sheet.passages for sheet in sheets if len(sheet.passages) > 1])
        keep_bundles(config, cache, sorted({tuple(ids) for ids in (*source.bundles, *made)}))
    questions, usage = asyncio.run(_ask(sheets, source, config, context.secrets, progress))
    questions = sift(questions, passages, vectors, encoder, config, progress)
    write_tables(path, questions)
    return _outcome(questions, usage, source)


def plan(passages: Sequence[Passage], vectors: Vectors, config: Config, source: Source) -> list[Sheet]:
    """Return what is asked: a sheet a passage, then a sheet a bundle.

    Args:
        passages: All passages.
        vectors: Theirs, of the base model.
        config: The whole configuration.
        source: Its bundles are kept.
    """
    settings = config.generate
    chosen = chosen_passages(passages, settings, config.seed)
    row = {passage.chunk_id: number for number, passage in enumerate(passages)}
    own = vectors[[row[passage.chunk_id] for passage in chosen]]
    if source.replay:
        # A recording names its bundles: another CPU's vectors shall not make others.
        bundles = known_bundles(source.bundles, chosen)
    else:
        bundles = make_bundles(chosen, own, settings, config.seed, source.bundles)
    return plan_single(chosen, settings, config.seed) + plan_multi(bundles, settings, config.seed)


async def _ask(
    sheets: Sequence[Sheet], source: Source, config: Config, secrets: Secrets, progress: Progress
) -> tuple[list[Question], Usage]:
    settings = config.generate
    budget = Budget(settings.max_cost)
    keys = secrets.llm_api_key, secrets.judge_api_key or secrets.llm_api_key
    with source.cache:
        async with (
            LLMClient(source.generator, keys[0], source.cache, replay=source.replay, budget=budget) as generator,
            LLMClient(source.judge, keys[1], source.cache, replay=source.replay, budget=budget) as judge,
        ):
            writers = Writers(generator, judge, source.unanswered)
            questions = await write_questions(sheets, writers, settings.max_failed_share, progress)
            return questions, generator.usage + judge.usage


def sift(
    questions: Sequence[Question],
    passages: Sequence[Passage],
    vectors: Vectors,
    encoder: Encoder,
    config: Config,
    progress: Progress,
) -> list[Question]:
    """Apply judge, example, duplicate and round-trip filters, and store the ranks.

    Args:
        questions: Written and judged.
        passages: All passages: the corpus that is searched.
        vectors: Theirs.
        encoder: The base model.
        config: Limits.
        progress: Told of the encoding.
    """
    settings = config.generate
    texts = {passage.chunk_id: passage.text for passage in passages}
    judged = [not_from_example(by_scores(question, settings), texts) for question in questions]
    found = encoder.encode_queries([question.question for question in judged], progress)
    distinct = without_duplicates(judged, found, settings.duplicate_similarity)
    limit = rank_limit(settings, len(passages))
    corpus = Corpus([p.chunk_id for p in passages], [p.text for p in passages], vectors)
    return [round_trip(question, limit) for question in with_ranks(distinct, found, corpus, limit)]


def rank_limit(settings: GenerateSettings, passages: int) -> int:
    """Return the rank by which own passages must be found: the smaller of a number and a share of the corpus."""
    return max(1, min(settings.round_trip_rank, int(settings.round_trip_share * passages)))


def _outcome(questions: Sequence[Question], usage: Usage, source: Source) -> Outcome:
    reasons = Counter(question.reason.partition(":")[0] for question in questions if question.reason)
    written = len(questions)
    rejected = reasons.total()
    metrics: dict[str, Figure] = {
        "questions": written - rejected,
        "written": written,
        "generator": source.generator.model,
        "judge": source.judge.model,
    }
    metrics |= {f"rejected_{reason}": count for reason, count in sorted(reasons.items())}
    metrics |= {f"share_{reason}": round(count / written, 4) for reason, count in sorted(reasons.items())}
    metrics |= {
        "calls": usage.calls,
        "cached_calls": usage.cached_calls,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }
    metrics |= {f"prompt_{name}": version for name, version in prompt_versions().items()}
    notes = [source.note] if source.note else []
    if written and rejected > MUCH_REJECTED * written:
        notes.append(f"{rejected} of {written} questions were rejected; rejected.parquet says why")
    counts = {"questions": written - rejected, "rejected": rejected}
    return Outcome(counts, metrics, tuple(notes), usage.cost_usd)
