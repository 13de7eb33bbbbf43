"""Masks personal data in the passages of a question call, and restores it in what the LLM wrote.

In a call, each value has one placeholder such as `[PERSON_1]`, so that the LLM can still tell two people apart;
which placeholder means whom never leaves the machine.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from embedtune.core.config.masking import MaskSettings
from embedtune.core.personal_data import Finder, Span
from embedtune.core.placeholders import placeholders
from embedtune.core.progress import Progress
from embedtune.generate.questions_to_ask import QuestionCall

MASKED = "masked.parquet"
SCHEMA = pa.schema(
    [("chunk_id", pa.string()), ("start", pa.int32()), ("end", pa.int32()), ("entity", pa.string())]
)


@dataclass(frozen=True)
class Masking:
    """Question calls without personal data.

    Attributes:
        calls: The calls; `hidden` of each has the value of each placeholder.
        spans: What was masked in each chunk: places in the embedded string, never their text.
    """

    calls: list[QuestionCall]
    spans: Mapping[str, Sequence[Span]]

    @property
    def counts(self) -> dict[str, int]:
        """Number of masked places by kind."""
        return dict(sorted(Counter(span.entity for spans in self.spans.values() for span in spans).items()))

    @property
    def note(self) -> str:
        """What was masked, for the report; "" if nothing was to be masked."""
        if not self.spans:
            return ""
        masked = sum(bool(spans) for spans in self.spans.values())
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.counts.items()) or "nothing found"
        return (
            f"personal data was masked before a passage was sent to an LLM, in {masked} of {len(self.spans)} "
            f"passages: {kinds} ({MASKED} says where)"
        )


def mask_calls(calls: Sequence[QuestionCall], settings: MaskSettings | None, progress: Progress) -> Masking:
    """Replace personal data in the passages of all calls by placeholders.

    Args:
        calls: The question calls.
        settings: What to mask. None: nothing.
        progress: Updated once per call.

    Raises:
        ConfigError: Presidio or a spaCy model is not installed, or a kind of personal data is unknown.
    """
    if settings is None:
        return Masking(list(calls), {})
    finder = Finder.of(settings)
    spans: dict[str, Sequence[Span]] = {}
    masked: list[QuestionCall] = []
    with progress.task("mask personal data", len(calls), "calls") as task:
        for call in calls:
            for passage in call.passages:
                if passage.chunk_id not in spans:
                    spans[passage.chunk_id] = finder.spans(passage.text)
            masked.append(_masked(call, spans))
            task.advance(1)
    return Masking(masked, spans)


def write_masked(folder: Path, masking: Masking) -> None:
    """Write masked.parquet: one row per masked place, ordered by chunk and place."""
    rows = [
        {"chunk_id": chunk_id, **asdict(span)}
        for chunk_id in sorted(masking.spans)
        for span in masking.spans[chunk_id]
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / MASKED)


def _masked(call: QuestionCall, spans: Mapping[str, Sequence[Span]]) -> QuestionCall:
    texts = "\n".join(passage.text for passage in call.passages)
    free: dict[str, Iterator[str]] = {}
    known: dict[tuple[str, str], str] = {}
    hidden: dict[str, str] = {}
    for passage in call.passages:
        for span in spans[passage.chunk_id]:
            value = passage.text[span.start : span.end]
            if (span.entity, value.casefold()) not in known:
                placeholder = next(free.setdefault(span.entity, placeholders(span.entity, texts)))
                known[span.entity, value.casefold()] = placeholder
                hidden[placeholder] = value
    passages = tuple(
        replace(passage, text=_replaced(passage.text, spans[passage.chunk_id], known)) for passage in call.passages
    )
    return replace(call, passages=passages, hidden=hidden)


def _replaced(text: str, spans: Sequence[Span], known: Mapping[tuple[str, str], str]) -> str:
    parts, end = [], 0
    for span in spans:
        parts += [text[end : span.start], known[span.entity, text[span.start : span.end].casefold()]]
        end = span.end
    return "".join([*parts, text[end:]])
