"""Reading a request takes at most six times the memory of its body, whatever the body is."""

import asyncio
import base64
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message

from embedtune.serve.gateway.app import create_app
from embedtune.serve.gateway.feedback.log import FeedbackOptions
from tests.serve.gateway.test_feedback import options

LARGEST = 4_000_000  # --max-body-bytes
SMALL = 1_000_000  # what a request may take if six times its body is less
CHUNK = 65_536  # in which the server hands on a body
EMOJI = "😀".encode()
BLANKS = b" " * 128  # OpenAI's tables have such tokens
ROUTES = {"/v1/embeddings": b"input", "/embed": b"inputs", "/": b"inputs", "/tokenize": b"inputs"}


def a_list(item: bytes, size: int) -> bytes:
    return b"[" + b",".join([item] * min(2048, size // (len(item) + 1))) + b"]"


def ids(number: bytes, count: int) -> bytes:
    return b"[" + b",".join([number] * count) + b"]"


# The field with the texts: valid ones, those that are refused late, and those whose objects are much larger.
TEXTS = {
    "one short text": b'"press"',
    "one long text": b'"' + b"a" * 900_000 + b'"',
    "a long text with an emoji": b'"' + EMOJI + b"a" * 900_000 + b'"',
    "a long text with an emoji at the end": b'"' + b"a" * 900_000 + EMOJI + b'"',
    "a long text with an escaped emoji": b'"\\ud83d\\ude00' + b"a" * 900_000 + b'"',
    "a text of emojis": b'"' + EMOJI * 240_000 + b'"',
    "a text of escapes": b'"' + b"\\n" * 450_000 + b'"',
    "a text of escaped emojis": b'"' + b"\\ud83d\\ude00" * 80_000 + b'"',
    "a text of 200 KB with an emoji": b'"' + EMOJI + b"a" * 200_000 + b'"',
    "four texts of 990 KB": a_list(b'"' + EMOJI + b"a" * 990_000 + b'"', LARGEST),
    "2,048 texts with an emoji": a_list(b'"' + EMOJI + b"a" * 1900 + b'"', LARGEST),
    "2,048 texts of two letters": a_list(b'"ab"', LARGEST),
    "a text that is too long": b'"' + EMOJI + b"a" * 3_900_000 + b'"',
    "numbers and a text": b"[" + b"1," * 1_900_000 + b'"a"]',
    "small token ids": ids(b"99", 65_000),
    "large token ids": ids(b"300", 65_000),
    "token ids of blanks": ids(b"256", 65_000),
    "few token ids of blanks": ids(b"256", 30_000),
    "texts of token ids": a_list(ids(b"300", 480), LARGEST),
    "texts of token ids of blanks": a_list(ids(b"256", 480), LARGEST),
    "short texts of token ids of blanks": a_list(b"[256]", LARGEST),
    "long texts of token ids": a_list(ids(b"97", 65_000), LARGEST),
    "more token ids than a text may have": ids(b"99", 1_300_000),
    "a token id of 3.9 MB": ids(b"9" * 3_900_000, 1),
}
# The other fields, and what none of the records has.
FIELDS = {
    "a long name": b'"model": "%s"' % (b"a" * 3_900_000),
    "a long name with an emoji": b'"model": "%s"' % (EMOJI + b"a" * 3_900_000),
    "two long names": b'"model": "%s", "model": "embedtune"' % (EMOJI + b"a" * 3_900_000),
    "a name of 60 KB with an emoji": b'"model": "%s"' % (EMOJI + b"a" * 60_000),
    "a long prompt name": b'"prompt_name": "%s", "model": "a"' % (EMOJI + b"a" * 3_900_000),
    "a long input type": b'"input_type": "%s", "model": "a"' % (EMOJI + b"a" * 3_900_000),
    "long dimensions": b'"dimensions": %s, "model": "a"' % (b"9" * 3_900_000),
    "a long fraction": b'"dimensions": 0.%s, "model": "a"' % (b"9" * 3_900_000),
    "a list of numbers": b'"model": [%s1]' % (b"1," * 1_900_000),
    "a long unknown field": b'"%s": 1, "model": "a"' % (EMOJI + b"a" * 3_900_000),
    "an unknown field that is nested": b'"x": %s1%s, "model": "a"' % (b"[" * 500 + b"1," * 1_900_000, b"]" * 500),
    "many unknown fields": b'%s, "model": "a"' % b",".join(b'"k%d":1' % number for number in range(300_000)),
}
FEEDBACK = {
    "a long question": b'{"query": "%s", "shown": ["a"], "chosen": []}' % (EMOJI + b"a" * 60_000),
    "many ids": b'{"query": "a", "shown": %s, "chosen": []}' % (b"[" + b'"ab",' * 13_000 + b'"a"]'),
    "a long unknown field": b'{"%s": 1}' % (EMOJI + b"a" * 60_000),
    "4 MB": b'{"query": "%s", "shown": ["a"], "chosen": []}' % (EMOJI + b"a" * 3_900_000),
    "4 MB of numbers": b'{"shown": [%s1]}' % (b"1," * 1_900_000),
}
QUESTIONS = {
    "a long question": b'{"query": "%s"}' % (EMOJI + b"a" * 3_900_000),
    "numbers": b'{"query": "a", "count": [%s1]}' % (b"1," * 1_900_000),
    "many unknown fields": b'{"query": "a", %s}' % b",".join(b'"k%d":1' % number for number in range(300_000)),
    "many lists": b'{"query": "a", "x": [%s[]]}' % (b"[]," * 1_300_000),
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A gateway that reads all bodies, token ids included, and then has no release to answer with."""
    folder = tmp_path_factory.mktemp("gateway")
    words = [*(bytes([number]) for number in range(256)), BLANKS, *[b"word"] * 100]
    table = folder / "table"
    table.write_text("".join(f"{base64.b64encode(word).decode()} {number}\n" for number, word in enumerate(words)))
    feedback = FeedbackOptions(folder / "feedback")
    yield create_app(options(folder / "serving", token_ids=table, feedback=feedback))


def peak(app: Any, path: str, body: bytes) -> int:
    """Send a body as the server does; return the most memory that was in use, the body included."""
    places = iter(range(0, max(1, len(body)), CHUNK))

    async def receive() -> Message:
        start = next(places)
        more = start + CHUNK < len(body)
        return {"type": "http.request", "body": body[start : start + CHUNK], "more_body": more}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] != 500

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "http_version": "1.1"}
    scope |= {"headers": [(b"content-type", b"application/json")], "scheme": "http", "root_path": ""}
    tracemalloc.start()
    try:
        asyncio.run(app(scope, receive, send))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def assert_bounded(app: Any, path: str, body: bytes) -> None:
    assert len(body) <= LARGEST
    peak(app, path, b"{}")  # what the first request loads
    most = peak(app, path, body)
    assert most <= max(SMALL, 6 * len(body)), f"{most / len(body):.1f} times the body"


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("texts", TEXTS)
def test_texts(app: Any, path: str, texts: str) -> None:
    assert_bounded(app, path, b'{"model": "embedtune", "%s": %s}' % (ROUTES[path], TEXTS[texts]))


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("field", FIELDS)
def test_other_fields(app: Any, path: str, field: str) -> None:
    assert_bounded(app, path, b'{%s, "%s": "a"}' % (FIELDS[field], ROUTES[path]))


@pytest.mark.parametrize("body", FEEDBACK)
def test_feedback(app: Any, body: str) -> None:
    assert_bounded(app, "/v1/feedback", FEEDBACK[body])


@pytest.mark.parametrize("body", QUESTIONS)
def test_questions_on_the_page(app: Any, body: str) -> None:
    assert_bounded(app, "/playground", QUESTIONS[body])
