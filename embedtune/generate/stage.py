"""Stage generate: an LLM writes questions about the chunks and judges them; the good ones are kept."""

import functools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from embedtune.core.artifacts import MANIFEST, Artifact, Figure, StageReport, read_manifest
from embedtune.core.config.config import Config
from embedtune.core.config.generate import GenerateSettings, LLMEndpointSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.precision import same_everywhere
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress, SilentProgress
from embedtune.core.records.questions import LICENCE
from embedtune.core.records.rejections import Rejection, rejection_code
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.generate.ask_llm import Writers, write_questions
from embedtune.generate.bundle_file import bundle_file, write_bundles
from embedtune.generate.bundles import bundle_ids, make_bundles
from embedtune.generate.filters import (
    Corpus,
    by_scores,
    not_from_example,
    not_mostly_copied,
    round_trip,
    with_ranks,
    without_duplicates,
    without_same_words,
)
from embedtune.generate.first_call import FirstCall, patient_once
from embedtune.generate.further_inputs import further_inputs, reviews_of
from embedtune.generate.masking import Masking, mask_calls, write_masked
from embedtune.generate.passages import Passage, read_passages, require_evaluable
from embedtune.generate.prompts import Prompts, prompts_of
from embedtune.generate.question_slots import require_known_labels
from embedtune.generate.questions import Question, write_tables
from embedtune.generate.questions_to_ask import (
    QuestionCall,
    chosen_passages,
    multi_hop_calls,
    single_hop_calls,
    unasked_notes,
)
from embedtune.generate.recording import replayed_calls
from embedtune.generate.repeated_questions import with_shared_answers, without_leaks
from embedtune.generate.reply_source import ReplySource, open_reply_source, require_reply_source
from embedtune.generate.reviewed import review_counts, with_reviews
from embedtune.llm.budget import Budget, Usage
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMClient
from embedtune.llm.event_loop import run_to_end
from embedtune.llm.learned import Learned
from embedtune.llm.ledger import Ledger

UNANSWERED = "unanswered"  # a count in the manifest; while it is there, the artifact is not up to date
WORTH_A_NOTE_USD = 0.005
MUCH_REJECTED = 0.5  # share of rejected questions that is worth a note


def run(chunks: Path, output: Path, context: Context) -> StageReport:
    """Write, judge and filter questions.

    Args:
        chunks: The chunks artifact.
        output: Directory to write the questions artifact to.
        context: The configuration and everything else that the stage runs with.

    Raises:
        ConfigError: A label in the proportions is unknown.
        LLMEndpointError: No LLM endpoint is configured, or it cannot be used.
        ReplayMiss: The recording has no reply to a request.
        GateError: There are too few passages to measure a model, the cost ceiling is reached, or too many LLM
            calls failed.
    """
    this = StageRun("generate", output, context)
    require_known_labels(context.config.generate)
    inputs: dict[str, Artifact | str] = {**this.read(chunks=chunks), **further_inputs(context.config)}
    return this.write(inputs, lambda path: _generate(chunks, path, context), reuse=not _unanswered(output))


def _unanswered(questions: Path) -> int:
    """Return how many LLM calls of an earlier run got no reply because the LLM endpoint failed."""
    if not (questions / MANIFEST).is_file():
        return 0
    return read_manifest(questions, "questions").counts.get(UNANSWERED, 0)


def _generate(chunks: Path, path: Path, context: Context) -> Outcome:
    config, progress, cache = context.config, context.progress, context.cache
    settings = config.generate
    require_reply_source(settings)  # fails now, not after the passages are embedded
    prompts = prompts_of(settings)
    passages = read_passages(chunks, config.contract, settings.context_words)
    require_evaluable(passages, config.ingest)
    source = open_reply_source(config, cache)
    # A replay costs nothing, and its cache is a recording: nothing is booked there.
    ledger = (
        None if source.replay else Ledger(source.cache.path, scope=read_manifest(chunks, "chunks").fingerprint)
    )
    with closing(Budget(settings.max_cost, ledger)) as budget:
        asking = _Asking(source, prompts, context, budget)
        first = run_to_end(asking.first(passages))
        base = resolve_base(config.contract, config.base, cache, config.storage, context.secrets)
        runtime = same_everywhere(config.runtime)
        encoder = TorchEncoder(base, config.contract, runtime, cache / "embeddings", context.base_vectors)
        vectors = encoder.encode_passages([passage.text for passage in passages], progress)
        calls = question_calls(passages, vectors, settings, config.seed, source)
        if not source.replay:
            made = bundle_ids([call.passages for call in calls if len(call.passages) > 1])
            write_bundles(bundle_file(config, cache), sorted({tuple(ids) for ids in (*source.bundles, *made)}))
        masking = mask_calls(calls, settings.mask, progress)
        questions, usage = run_to_end(asking.all(masking.calls, first))
        before_usd = budget.spent_usd - usage.cost_usd
    reviews = reviews_of(settings)
    questions = with_reviews(questions, reviews)
    questions = apply_filters(questions, passages, vectors, encoder, config, progress)
    write_tables(path, questions)
    if settings.mask:
        write_masked(path, masking)
    outcome = _outcome(questions, usage, source, prompts, masking)
    figures = review_counts(questions, reviews) if reviews else {}
    return replace(
        outcome,
        metrics=outcome.metrics | figures,
        notes=(*outcome.notes, *unasked_notes(passages, calls), *_spent_before(before_usd)),
    )


def _spent_before(usd: float) -> list[str]:
    return [f"earlier runs with the same chunks had spent {usd:.2f} USD"] if usd >= WORTH_A_NOTE_USD else []


def question_calls(
    passages: Sequence[Passage], vectors: Vectors, settings: GenerateSettings, seed: int, source: ReplySource
) -> list[QuestionCall]:
    """Return the question calls: one per passage, then one per bundle.

    Args:
        passages: All passages.
        vectors: Base-model vectors of the passages.
        settings: Number and proportions of the questions.
        seed: Seed of the configuration.
        source: The reply source; its bundles are kept.
    """
    if source.replay:
        # A recording names its bundles, because vectors computed on another CPU could lead to different ones.
        return replayed_calls(passages, settings, seed, source.bundles)
    chosen = chosen_passages(passages, settings, seed)
    row = {passage.chunk_id: number for number, passage in enumerate(passages)}
    own = vectors[[row[passage.chunk_id] for passage in chosen]]
    bundles = make_bundles(chosen, own, settings, seed, source.bundles)
    return single_hop_calls(chosen, settings, seed) + multi_hop_calls(bundles, settings, seed)


@dataclass(frozen=True)
class _Asking:
    """The LLM calls of one run."""

    source: ReplySource
    prompts: Prompts
    context: Context
    budget: Budget
    learned: Learned = field(default_factory=Learned)

    @asynccontextmanager
    async def _writers(
        self, cache: ResponseCache, generator: LLMEndpointSettings, judge: LLMEndpointSettings
    ) -> AsyncIterator[Writers]:
        settings, secrets, source = self.context.config.generate, self.context.secrets, self.source
        # Never the generator's key for a judge of its own: it may go to another address.
        judge_key = secrets.llm_api_key if settings.judge is None else secrets.judge_api_key
        client = functools.partial(LLMClient, cache=cache, replay=source.replay, budget=self.budget)
        judge_section = "generate.llm" if settings.judge is None else "generate.judge"
        async with (
            client(generator, secrets.llm_api_key) as writing,
            client(judge, judge_key, section=judge_section) as judging,
        ):
            learned = self.learned
            yield Writers(writing.share(learned), judging.share(learned), self.prompts, source.unanswered)

    async def first(self, passages: Sequence[Passage]) -> FirstCall:
        """Make the first call, unless the replies are recorded or come from files."""
        config = self.context.config
        settings = config.generate
        if self.source.replay or "files" in (self.source.generator.batch, self.source.judge.batch):
            return FirstCall()
        calls = single_hop_calls(chosen_passages(passages, settings, config.seed), settings, config.seed)
        generator, judge = patient_once(self.source.generator), patient_once(self.source.judge)
        with ResponseCache(self.source.cache.path) as cache:
            async with self._writers(cache, generator, judge) as writers:
                return await FirstCall.of(_masked(calls, settings), writers)

    async def all(self, calls: Sequence[QuestionCall], first: FirstCall) -> tuple[list[Question], Usage]:
        """Have all questions written and judged."""
        settings, source = self.context.config.generate, self.source
        with source.cache:
            async with self._writers(source.cache, source.generator, source.judge) as writers:
                first.tell(writers.generator, writers.judge)
                questions = await write_questions(calls, writers, settings.max_failed_share, self.context.progress)
                return questions, first.usage + writers.generator.usage + writers.judge.usage


def _masked(calls: Sequence[QuestionCall], settings: GenerateSettings) -> Sequence[QuestionCall]:
    """Return the calls; with masks only the first, since finding personal data takes time."""
    return calls if settings.mask is None else mask_calls(calls[:1], settings.mask, SilentProgress()).calls


def apply_filters(
    questions: Sequence[Question],
    passages: Sequence[Passage],
    vectors: Vectors,
    encoder: Encoder,
    config: Config,
    progress: Progress,
) -> list[Question]:
    """Apply the score, example, wording, duplicate, leak and round-trip filters, and store the ranks.

    Args:
        questions: Questions that were written and judged.
        passages: All passages: the corpus that is searched.
        vectors: Base-model vectors of the passages.
        encoder: The base model.
        config: Limits of the filters, in the sections generate and split.
        progress: Updated while the questions are encoded.
    """
    settings, repeats = config.generate, config.split.duplicate_similarity
    texts = {passage.chunk_id: passage.text for passage in passages}
    judged = [
        not_mostly_copied(not_from_example(by_scores(question, settings), texts), texts) for question in questions
    ]
    judged = without_same_words(judged, texts, settings.max_word_overlap)
    found = encoder.encode_queries([question.question for question in judged], progress)
    distinct = without_duplicates(judged, found, settings.duplicate_similarity)
    distinct = with_shared_answers(distinct, found, settings.duplicate_similarity, repeats)
    distinct = without_leaks(distinct, repeats)
    limit = rank_limit(settings, len(passages))
    corpus = Corpus([p.chunk_id for p in passages], [p.text for p in passages], vectors)
    return [round_trip(question, limit) for question in with_ranks(distinct, found, corpus, limit)]


def rank_limit(settings: GenerateSettings, passages: int) -> int:
    """Return the rank within which a question must find its passages: a number or a share of the corpus."""
    return max(1, min(settings.round_trip_rank, int(settings.round_trip_share * passages)))


def _outcome(
    questions: Sequence[Question], usage: Usage, source: ReplySource, prompts: Prompts, masking: Masking
) -> Outcome:
    reasons = Counter(rejection_code(question.reason).value for question in questions if question.reason)
    nothing = reasons.pop(Rejection.NOTHING_TO_ASK, 0)  # an answer of the LLM's, no question
    written = len(questions) - nothing
    rejected = reasons.total()
    metrics: dict[str, Figure] = {
        "questions": written - rejected,
        "written": written,
        "nothing_to_ask": nothing,
        "generator": source.generator.model,
        "judge": source.judge.model,
    }
    if source.licence:
        metrics[LICENCE] = source.licence
    metrics |= {f"rejected_{reason}": count for reason, count in sorted(reasons.items())}
    metrics |= {f"share_{reason}": round(count / written, 4) for reason, count in sorted(reasons.items())}
    metrics |= {
        "calls": usage.calls,
        "cached_calls": usage.cached_calls,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }
    metrics |= {f"prompt_{name}": version for name, version in prompts.versions.items()}
    metrics |= {f"masked_{kind}": count for kind, count in masking.counts.items()}
    notes = [note for note in (source.note, masking.note) if note]
    if written and rejected > MUCH_REJECTED * written:
        notes.append(f"{rejected} of {written} questions were rejected; `embedtune questions WORK` shows why")
    counts = {"questions": written - rejected, "rejected": rejected}
    if usage.unanswered:
        counts[UNANSWERED] = usage.unanswered
        notes.append(
            f"{usage.unanswered} LLM calls got no reply because the LLM endpoint failed; the same command sends "
            "them again"
        )
    return Outcome(counts, metrics, tuple(notes), usage.cost_usd)
