"""Batches as files, in the form that `vllm run-batch` reads and writes."""

import asyncio
import json
from pathlib import Path

import pytest

from embedtune.core.progress import SilentProgress
from embedtune.llm.batch_exchange import BatchPending
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMClient
from embedtune.llm.errors import ItemError
from embedtune.llm.gather import gather_replies
from tests.support.llm_client import Answer, request, settings
from tests.support.openai_replies import Call, built_reply, completion

REQUESTS = [request(f"number {number}") for number in range(4)]


def replies(cache: ResponseCache) -> list[Answer | ItemError]:
    client = LLMClient(settings(None, batch="files"), None, cache)

    async def scenario() -> list[Answer | ItemError]:
        async with client:
            with SilentProgress().task("x", len(REQUESTS), "calls") as task:
                return await gather_replies(client, REQUESTS, task, 0.9)

    return asyncio.run(scenario())


def process(file: Path, *, faults: dict[int, str], bare: bool = False, until: int | None = None) -> None:
    """Do what `vllm run-batch` does; `bare`: with the completion itself as the response."""
    rows = []
    for place, line in enumerate(json.loads(text) for text in file.read_text().splitlines()[:until]):
        call = Call(line["body"], place, 0, {})
        fault = faults.get(place)
        if fault == "error":
            body = {"object": "error", "message": "the prompt is too long", "type": "BadRequestError", "code": 400}
            response = {"status_code": 400, "request_id": "r", "body": body}
        else:
            body = completion(built_reply(call), fault, call)
            response = body if bare else {"status_code": 200, "request_id": "r", "body": body}
        rows.append({"id": "vllm-1", "custom_id": line["custom_id"], "response": response, "error": None})
    text = "\n".join(map(json.dumps, rows))
    Path(str(file).replace(".in.", ".out.")).write_text(text)


def waiting(cache: ResponseCache) -> Path:
    """Return the file that waits; the error names it and the command."""
    with pytest.raises(BatchPending) as caught:
        replies(cache)
    inputs = cache.path.parent.glob("batches/*.in.jsonl")
    (file,) = [path for path in inputs if not Path(str(path).replace(".in.", ".out.")).exists()]
    out = str(file).replace(".in.", ".out.")
    assert f"vllm run-batch -i {file} -o {out} --model tiny" in str(caught.value)
    return file


@pytest.mark.parametrize("bare", [False, True])
def test_the_results_of_a_file_are_the_replies(cache: ResponseCache, *, bare: bool) -> None:
    file = waiting(cache)
    assert waiting(cache) == file  # the same command writes the same file
    assert len(file.read_text().splitlines()) == 4
    process(file, faults={}, bare=bare)
    assert all(isinstance(reply, Answer) for reply in replies(cache))
    assert len(cache) == 4


def test_what_failed_in_the_file_fails_with_its_reason_and_is_not_written_again(cache: ResponseCache) -> None:
    process(waiting(cache), faults={1: "error", 2: "invalid_json"})
    found = replies(cache)
    errors = sorted(reply.detail for reply in found if isinstance(reply, ItemError))
    assert errors == ["the prompt is too long", "the reply in the batch is not valid"]
    assert len(cache) == 2


def test_what_is_missing_in_the_results_is_written_to_another_file(cache: ResponseCache) -> None:
    process(waiting(cache), faults={}, until=3)
    rest = waiting(cache)
    assert len(rest.read_text().splitlines()) == 1
    process(rest, faults={})
    assert all(isinstance(reply, Answer) for reply in replies(cache))


def test_a_line_that_is_cut_off_is_no_result(cache: ResponseCache, caplog: pytest.LogCaptureFixture) -> None:
    file = waiting(cache)
    process(file, faults={})
    out = Path(str(file).replace(".in.", ".out."))
    out.write_text(out.read_text()[:-40])
    assert len(waiting(cache).read_text().splitlines()) == 1
    assert "1 lines of the results of a batch cannot be read" in caplog.text
