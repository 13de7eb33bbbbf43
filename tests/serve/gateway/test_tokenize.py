"""TEI's /tokenize: the tokens that the model reads; and NIM's and TEI's ways to cut the beginning of a text."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tokenizers import Tokenizer
from tritonclient.grpc import InferenceServerClient

from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.tokenizers import MOST_REQUESTS, Tokenizers
from tests.support.triton_endpoint import embed
from tests.support.triton_server import Triton

SPECIAL = {"special": True, "start": None, "stop": None}


def tokens(http: httpx.Client, inputs: Any, **fields: Any) -> list[list[dict[str, Any]]]:
    reply = http.post("/tokenize", json={"inputs": inputs, **fields})
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_tokens_have_teis_fields_and_count_bytes_from_the_prefix(http: httpx.Client, triton: Triton) -> None:
    vocabulary = Tokenizer.from_file(str(triton.release.path / "tokenizer.json")).get_vocab()
    ((first, *prefix, kiln, press, last),) = tokens(http, "kiln press", prompt_name="query")
    assert first == {"id": vocabulary["[CLS]"], "text": "[CLS]", **SPECIAL}
    assert last == {"id": vocabulary["[SEP]"], "text": "[SEP]", **SPECIAL}
    assert "".join(token["text"] for token in prefix) == "query:"
    # "query: " has 7 bytes.
    assert kiln == {"id": vocabulary["kiln"], "text": "kiln", "special": False, "start": 7, "stop": 11}
    assert press == {"id": vocabulary["press"], "text": "press", "special": False, "start": 12, "stop": 17}


def test_a_character_of_two_bytes_moves_what_follows_by_two(http: httpx.Client) -> None:
    (row,) = tokens(http, "\u00e9 press", add_special_tokens=False)
    assert (row[-1]["text"], row[-1]["start"], row[-1]["stop"]) == ("press", 12, 17)  # "passage: " has 9


def test_without_prompt_name_texts_are_passages_and_special_tokens_can_be_left_out(http: httpx.Client) -> None:
    plain = tokens(http, ["kiln", "press"])
    assert plain == tokens(http, ["kiln", "press"], prompt_name="passage")
    assert plain[0][1:-1] == tokens(http, "kiln", add_special_tokens=False)[0]
    assert len(plain) == 2


def test_nothing_is_cut_and_the_number_of_tokens_is_what_the_model_refuses(http: httpx.Client) -> None:
    long = "press " * 200  # the tiny model reads 64 tokens
    count = len(tokens(http, long)[0])
    assert count > 200
    reply = http.post("/embed", json={"inputs": long, "truncate": False})
    assert reply.json()["error"] == f"input[0] has {count} tokens with its prefix; the limit is 64"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "inputs is an empty list"),
        (["press", ""], "inputs[1] is empty"),
        ("x" * 65_537, "inputs[0] has 65537 bytes; the limit is 65536"),
    ],
)
def test_refusals_have_teis_form(http: httpx.Client, inputs: Any, message: str) -> None:
    reply = http.post("/tokenize", json={"inputs": inputs})
    assert (reply.status_code, reply.json()["error_type"]) == (400, "validation")
    assert message in reply.json()["error"]


def test_the_answer_names_its_release(http: httpx.Client, triton: Triton) -> None:
    reply = http.post("/tokenize", json={"inputs": "press"})
    assert reply.headers["x-embedtune-release"] == triton.release.id


def test_a_release_that_is_not_there_and_too_many_requests_are_refused(triton: Triton) -> None:
    async def ask() -> None:
        with pytest.raises(RefusedError) as gone:
            await Tokenizers(Path("/nowhere")).tokens("0" * 64, [b"press"], query=False, special=True)
        assert (gone.value.status, gone.value.code) == (503, "unavailable")
        busy = Tokenizers(triton.serving.parent / "releases")
        held = [await busy.tokens(triton.release.id, [b"press"], False, True) for _ in range(MOST_REQUESTS)]
        for parts in held:
            assert (await anext(parts)).startswith(b"[[")
        with pytest.raises(RefusedError, match="more than 16 requests") as refused:
            await busy.tokens(triton.release.id, [b"press"], query=False, special=True)
        assert refused.value.status == 429
        assert [part async for part in held[0]] == [b"]"]
        await busy.tokens(triton.release.id, [b"press"], query=False, special=True)

    asyncio.run(ask())


def test_start_and_left_keep_the_end_of_a_long_text(http: httpx.Client, direct: InferenceServerClient) -> None:
    long = "kiln " * 100 + "press the valve " * 30
    (row,) = tokens(http, long, prompt_name="query")
    prefix = sum(not token["special"] and token["stop"] <= len("query: ") for token in row)
    words = 64 - 2 - prefix  # what fits between the prefix and [SEP]
    kept = " ".join(token["text"] for token in row[:-1][-words:])
    expected = embed(direct, [kept], ["query"])[0]
    request = {"model": "embedtune", "input": long, "input_type": "query"}
    nim = http.post("/v1/embeddings", json={**request, "truncate": "START"}).json()
    assert nim["usage"]["total_tokens"] == 64
    np.testing.assert_allclose(nim["data"][0]["embedding"], expected, atol=1e-6)
    left = {"inputs": long, "prompt_name": "query", "truncation_direction": "left"}
    np.testing.assert_allclose(http.post("/embed", json={**left, "truncate": True}).json()[0], expected, atol=1e-6)
    assert http.post("/embed", json={**left, "truncate": False}).status_code == 400
    reply = http.post("/embed", json=left)
    assert reply.json()["error"] == "truncation_direction: left cuts only with truncate: true"
    assert not np.allclose(http.post("/v1/embeddings", json=request).json()["data"][0]["embedding"], expected)
