"""The files of a batch: OpenAI's JSON lines, which vLLM's `run-batch` reads and writes too.

Each line of the input is a request, named by the cache key of its reply; each line of the output is a response.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from embedtune.llm.errors import printable
from embedtune.llm.refusals import Refusal, read_refusal
from embedtune.llm.wire import Completion, read_body

log = logging.getLogger(__name__)
CHAT: Final = "/v1/chat/completions"
EXPIRED = "batch_expired"


@dataclass(frozen=True)
class BatchResult:
    """The response to one request of a batch.

    Attributes:
        key: Cache key of the request.
        outcome: The completion, or what the server said instead.
    """

    key: str
    outcome: Completion | Refusal

    @property
    def expired(self) -> bool:
        """Whether the request was not processed, because the time of its batch was over."""
        return isinstance(self.outcome, Refusal) and EXPIRED in self.outcome.code


def batch_line(key: str, body: Mapping[str, Any]) -> bytes:  # OpenAI's wire format
    """Return the line of a request.

    Args:
        key: Cache key of the request.
        body: Body of the request; what the openai package takes as `extra_body` is a part of it.
    """
    sent = {name: value for name, value in body.items() if name != "extra_body"}
    line = {"custom_id": key, "method": "POST", "url": CHAT, "body": {**sent, **body.get("extra_body", {})}}
    # The order of the properties in a schema stays: it is the order in which an LLM writes them.
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def read_results(lines: Iterable[str]) -> Iterator[BatchResult]:
    """Read an output or error file; lines that are no results (a file that is cut off) are skipped and counted."""
    damaged = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            key, outcome = str(row["custom_id"]), _outcome(row)
        except (ValueError, TypeError, KeyError, AttributeError):
            damaged += 1
            continue
        yield BatchResult(key, outcome)
    if damaged:
        log.warning("%d lines of the results of a batch cannot be read", damaged)


def _outcome(row: Mapping[str, Any]) -> Completion | Refusal:  # OpenAI's wire format
    response = row.get("response") or {}
    # vLLM has written the completion itself as the response, and under `body` like OpenAI.
    body = response.get("body") or (response if "choices" in response else {})
    status = int(response.get("status_code") or 200)
    if error := row.get("error"):
        return read_refusal(status if status >= 400 else 500, {"error": error}, "the request failed")
    if status >= 400:
        return read_refusal(status, body)
    try:
        return read_body(body)
    except ValueError as problem:
        return Refusal(502, printable(f"not a completion: {problem}"))
