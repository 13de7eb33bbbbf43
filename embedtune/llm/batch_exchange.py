"""Batches as files: requests are written for `vllm run-batch`, and its results are read when they are there."""

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from embedtune.core.errors import EmbedtuneError
from embedtune.llm.batch_file import batch_line, read_results
from embedtune.llm.client import LLMClient, LLMRequest
from embedtune.llm.dialect import Dialect, request_body
from embedtune.llm.errors import printable
from embedtune.llm.refusals import Refusal
from embedtune.llm.schema import strict_schema

T = TypeVar("T", bound=BaseModel)
FOLDER = "batches"  # next to the cache of replies


class BatchPending(EmbedtuneError):
    """A file of requests waits to be processed; the same command goes on when the results are there."""


def exchange_files(client: LLMClient, requests: Sequence[LLMRequest[T]]) -> None:
    """Read the results that are there into the cache, and write a file of the requests without any.

    Requests that failed in a file of results count as failed; delete that file to have them sent again.

    Raises:
        BatchPending: There are requests without results.
    """
    folder = client.cache.path.parent / FOLDER
    waiting = client.waiting(requests)
    failed: dict[str, str] = {}
    for file in sorted(folder.glob("*.out.jsonl")):
        with file.open(encoding="utf-8", errors="replace") as lines:
            for result in read_results(lines):
                if result.key not in waiting:
                    continue
                outcome = result.outcome
                if isinstance(outcome, Refusal):
                    failed[result.key] = printable(outcome.words)
                elif client.accept(waiting[result.key], outcome):
                    del waiting[result.key]
                else:
                    failed[result.key] = "the reply in the batch is not valid"
    client.note_failed({key: why for key, why in failed.items() if key in waiting})
    left = {key: request for key, request in waiting.items() if key not in failed}
    if left:
        raise _pending(client, folder, _lines(client, left))


def _lines(client: LLMClient, requests: dict[str, LLMRequest[T]]) -> list[bytes]:
    return [
        batch_line(key, request_body(client.settings, one.messages, strict_schema(one.schema), Dialect()))
        for key, one in sorted(requests.items())
    ]


def _pending(client: LLMClient, folder: Path, lines: Sequence[bytes]) -> BatchPending:
    data = b"".join(lines)
    folder.mkdir(parents=True, exist_ok=True)
    # Named by content: the same command writes the same file.
    name = hashlib.sha256(data).hexdigest()[:12]
    source, target = folder / f"{name}.in.jsonl", folder / f"{name}.out.jsonl"
    draft = source.with_suffix(".draft")
    draft.write_bytes(data)
    draft.replace(source)
    command = ["vllm", "run-batch", "-i", str(source), "-o", str(target), "--model", client.settings.model]
    return BatchPending(
        f"{len(lines)} LLM requests wait in {source}",
        fix=f"run `{shlex.join(command)}`, then the same embedtune command again",
    )
