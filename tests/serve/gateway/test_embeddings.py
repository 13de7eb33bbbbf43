"""POST /v1/embeddings: the vectors are Triton's own, bit by bit, in the format that OpenAI's clients read."""

import base64
import logging
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from tests.support.gateway_server import serving
from tests.support.triton_endpoint import embed, inputs
from tests.support.triton_server import Triton, options

TEXTS = ["Press", "the kiln's drum valve ☂ at 12 bar", "the seal of the pump " * 40]


def ask(http: httpx.Client, given: Any, **fields: Any) -> dict[str, Any]:
    reply = http.post("/v1/embeddings", json={"model": "embedtune", "input": given, **fields})
    assert reply.status_code == 200, reply.text
    return reply.json()


def vectors(reply: dict[str, Any]) -> np.ndarray:
    return np.array([item["embedding"] for item in reply["data"]], dtype=np.float32)


def test_an_answer_has_openais_format_and_names_its_release(http: httpx.Client, triton: Triton) -> None:
    reply = ask(http, TEXTS)
    assert {key: value for key, value in reply.items() if key != "data"} == {
        "object": "list",
        "model": f"embedtune@{triton.release.id[:16]}",
        "usage": {"prompt_tokens": reply["usage"]["total_tokens"], "total_tokens": reply["usage"]["total_tokens"]},
    }
    headers = http.post("/v1/embeddings", json={"model": "embedtune", "input": TEXTS}).headers
    assert headers["x-embedtune-release"] == triton.release.id
    assert [(item["object"], item["index"], len(item["embedding"])) for item in reply["data"]] == [
        ("embedding", 0, 32),
        ("embedding", 1, 32),
        ("embedding", 2, 32),
    ]


@pytest.mark.parametrize("given", [TEXTS[:1], TEXTS])
def test_floats_are_tritons(http: httpx.Client, direct: InferenceServerClient, given: list[str]) -> None:
    np.testing.assert_array_equal(vectors(ask(http, given)), embed(direct, given))


def test_a_single_string_is_one_text(http: httpx.Client, direct: InferenceServerClient) -> None:
    np.testing.assert_array_equal(vectors(ask(http, TEXTS[1])), embed(direct, [TEXTS[1]]))


def test_base64_holds_the_bytes_of_the_same_floats(http: httpx.Client, direct: InferenceServerClient) -> None:
    reply = ask(http, TEXTS, encoding_format="base64")
    decoded = [np.frombuffer(base64.b64decode(item["embedding"]), dtype="<f4") for item in reply["data"]]
    np.testing.assert_array_equal(np.stack(decoded), embed(direct, TEXTS))


@pytest.mark.parametrize("size", [32, 16])
def test_vectors_have_the_dimensions_asked_for(
    http: httpx.Client, direct: InferenceServerClient, size: int
) -> None:
    given = vectors(ask(http, TEXTS, dimensions=size))
    assert given.shape == (3, size)
    np.testing.assert_array_equal(given, embed(direct, TEXTS, None, [size] * 3))
    np.testing.assert_allclose(np.linalg.norm(given, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("kind", ["query", "passage"])
def test_input_type_and_the_models_suffix_say_what_the_texts_are(
    http: httpx.Client, direct: InferenceServerClient, kind: str
) -> None:
    expected = embed(direct, TEXTS, [kind] * 3)
    np.testing.assert_array_equal(vectors(ask(http, TEXTS, input_type=kind)), expected)
    by_name = ask(http, TEXTS, model=f"embedtune-{kind}")
    assert by_name["model"].startswith(f"embedtune-{kind}@")
    np.testing.assert_array_equal(vectors(by_name), expected)
    np.testing.assert_array_equal(vectors(ask(http, TEXTS, model=f"embedtune-{kind}", input_type=kind)), expected)


def test_query_and_passage_vectors_of_a_prefixed_model_differ(http: httpx.Client) -> None:
    queries, passages = (vectors(ask(http, TEXTS, input_type=kind)) for kind in ("query", "passage"))
    cosine = (queries * passages).sum(axis=1)
    assert cosine.max() < 0.999


def test_texts_without_a_type_are_passages_and_that_is_logged_once(
    triton: Triton, direct: InferenceServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "embedtune")
    with (
        serving(options(triton)) as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        ask(http, TEXTS, input_type="passage")
        ask(http, TEXTS, model="embedtune-query")
        assert caplog.messages == []
        for _ in range(3):
            np.testing.assert_array_equal(vectors(ask(http, TEXTS)), embed(direct, TEXTS, ["passage"] * 3))
    assert caplog.messages == [
        "a request has neither an input_type nor the model name embedtune-query or embedtune-passage: "
        "its texts are embedded as passages (logged once)"
    ]


def test_more_texts_than_triton_accepts_at_once_come_back_in_order(
    http: httpx.Client, direct: InferenceServerClient
) -> None:
    texts = [f"valve {number}" for number in range(70)]  # 32 at a time
    reply = ask(http, texts)
    assert [item["index"] for item in reply["data"]] == list(range(70))
    expected = np.concatenate([embed(direct, texts[start : start + 32]) for start in (0, 32, 64)])
    # Requests that Triton merges into other batches differ in the last bit.
    np.testing.assert_allclose(vectors(reply), expected, atol=1e-6)
    assert reply["usage"]["total_tokens"] == sum(
        tokens(direct, texts[start : start + 32]) for start in (0, 32, 64)
    )


def tokens(direct: InferenceServerClient, texts: list[str]) -> int:
    return int(direct.infer("embedtune", inputs(texts)).as_numpy("TOKENS").sum())


def test_usage_counts_the_tokens_that_the_model_read(http: httpx.Client) -> None:
    # [CLS] passage: press [SEP], where the tiny tokenizer has no word "passage" and spells it in pieces.
    one = ask(http, "press")["usage"]["total_tokens"]
    assert ask(http, "press pump")["usage"] == {"prompt_tokens": one + 1, "total_tokens": one + 1}
    assert ask(http, ["press", "press pump"])["usage"]["total_tokens"] == 2 * one + 1
    assert ask(http, "press " * 5000)["usage"]["total_tokens"] == 64  # cut at the contract's max_length


def test_the_refusal_of_token_ids_names_the_clients_option(http: httpx.Client) -> None:
    for given in ([15496, 995], [[15496, 995], [1]]):
        reply = http.post("/v1/embeddings", json={"model": "embedtune", "input": given})
        assert reply.status_code == 400
        assert reply.json()["error"] == {
            "message": "input contains token ids of OpenAI's tokenizer, which mean nothing to this model: send "
            "strings (LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))",
            "type": "invalid_request_error",
            "param": "input",
            "code": "token_ids",
        }


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table in tiktoken's format: the bytes 0 to 255 as ids 0 to 255, and two longer tokens."""
    path = tmp_path_factory.mktemp("table") / "tiny.tiktoken"
    words = [*(bytes([number]) for number in range(256)), b"press", b" kiln", b" " * 128]
    path.write_text("".join(f"{base64.b64encode(word).decode()} {number}\n" for number, word in enumerate(words)))
    return path


def test_token_ids_are_decoded_where_their_table_is_configured(
    triton: Triton, direct: InferenceServerClient, table: Path
) -> None:
    given = options(triton, token_ids=table)
    umbrella = list("☂".encode())
    with serving(given) as url, httpx.Client(base_url=url, timeout=30) as http:
        np.testing.assert_array_equal(vectors(ask(http, [256, 257])), embed(direct, ["press kiln"]))
        np.testing.assert_array_equal(
            vectors(ask(http, [[256, 257], umbrella])), embed(direct, ["press kiln", "☂"])
        )
        np.testing.assert_array_equal(vectors(ask(http, ["press kiln"])), embed(direct, ["press kiln"]))
        for given, message in (
            ([256, 259], "input contains an unknown token id, 259"),
            ([256, -1], "input contains an unknown token id, -1"),
            (
                [258] * 2000,
                "input contains token ids whose text is more than three times as long as the ids: send the text",
            ),
            (umbrella[:2], "input contains token ids that do not decode to valid UTF-8"),
            ([[256], []], "input[1] is empty"),
        ):
            reply = http.post("/v1/embeddings", json={"model": "embedtune", "input": given})
            assert (reply.status_code, reply.json()["error"]["message"]) == (400, message)
