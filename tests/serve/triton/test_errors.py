"""Wrong requests to a real Triton: each gets an error that says what is wrong, and the server keeps running."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import urllib3
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from embedtune.core.config.serve import ServeSettings
from embedtune.serve.release.build import build_release
from embedtune.serve.triton.installation import Installation
from tests.support.triton_endpoint import embed, inputs, metric, rows, tensor
from tests.support.triton_server import Triton, asking, running

GOOD = "press kiln"
WRONG = {
    "empty": (inputs([GOOD, ""]), "INVALID: TEXT[1] is empty"),
    "null byte": (inputs([GOOD, "a\0b"]), "INVALID: TEXT[1] contains a null byte"),
    "null byte at the end": (inputs([b"a\0"]), "INVALID: TEXT[0] contains a null byte"),
    "not UTF-8": (inputs([b"ab\xff"]), "INVALID: TEXT[0] is not valid UTF-8 (byte 2: invalid start byte)"),
    "lone surrogate": (
        inputs(["\ud800".encode("utf-8", "surrogatepass")]),
        "INVALID: TEXT[0] is not valid UTF-8 (byte 0: invalid continuation byte)",
    ),
    "megabyte": (inputs(["x" * 1_000_000]), "INVALID: TEXT[0] has 1000000 bytes; the limit is 65536"),
    "input type": (
        inputs([GOOD, GOOD], ["query", "document"]),
        "INVALID: INPUT_TYPE[1] is 'document'; expected query or passage",
    ),
    "dimensions": (inputs([GOOD], None, [17]), "INVALID: DIMENSIONS[0] is 17; this model offers 32, 16"),
    "no dimensions": (inputs([GOOD], None, [0]), "INVALID: DIMENSIONS[0] is 0; this model offers 32, 16"),
    "batch": (inputs([GOOD] * 33), "inference request batch-size must be <= 32 for 'embedtune'"),
    "no text": (inputs([GOOD], ["query"])[1:], "INVALID: TEXT is missing"),
    "two columns": ([tensor("TEXT", rows([GOOD, GOOD]).reshape(1, 2))], "unexpected shape for input 'TEXT'"),
    "type of another batch": (
        [*inputs([GOOD]), tensor("INPUT_TYPE", rows(["query"] * 2))],
        "batch size does not match",
    ),
    "number of 64 bits": ([*inputs([GOOD]), tensor("DIMENSIONS", np.array([[32]]))], "INT64"),
    "unknown input": ([*inputs([GOOD]), tensor("PROMPT", rows(["x"]))], "unexpected inference input 'PROMPT'"),
}


@pytest.fixture
def client(triton: Triton) -> Iterator[InferenceServerClient]:
    with asking(triton) as client:
        yield client


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_gets_an_error_and_the_next_one_its_vector(
    client: InferenceServerClient, name: str
) -> None:
    wrong, message = WRONG[name]
    good = embed(client, [GOOD])
    with pytest.raises(InferenceServerException) as error:
        client.infer("embedtune", wrong)
    assert message in error.value.message()
    assert error.value.status() == "StatusCode.INVALID_ARGUMENT"
    np.testing.assert_array_equal(embed(client, [GOOD]), good)


def test_wrong_requests_do_not_affect_the_good_ones_in_their_batch(
    triton: Triton, client: InferenceServerClient
) -> None:
    good = embed(client, [GOOD])
    names = [name for name, (_, message) in WRONG.items() if message.startswith("INVALID")]

    def send(number: int) -> str | None:
        if number % 2:
            np.testing.assert_allclose(embed(client, [GOOD]), good, atol=1e-6)
            return None
        with pytest.raises(InferenceServerException) as error:
            client.infer("embedtune", WRONG[names[number // 2 % len(names)]][0])
        return error.value.message()

    with ThreadPoolExecutor(16) as pool:
        messages = list(pool.map(send, range(320)))
    assert [bool(message) for message in messages] == [True, False] * 160
    assert all(WRONG[names[i // 2 % len(names)]][1] in (messages[i] or "") for i in range(0, 320, 2))
    assert triton.server.running()
    assert triton.server.ready()


# 500 is Triton's own answer to JSON that it cannot parse.
@pytest.mark.parametrize(
    ("text", "status"), [('""', 400), ('"a\\u0000b"', 400), ("[]", 400), ("7", 500), ('"\\ud800"', 500)]
)
def test_http_requests_with_wrong_texts_get_an_error(triton: Triton, text: str, status: int) -> None:
    body = f'{{"inputs": [{{"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": [{text}]}}]}}'
    url = f"http://127.0.0.1:{triton.http_port}/v2/models/embedtune/infer"
    reply = urllib3.request("POST", url, body=body.encode(), headers={"Connection": "close"}, timeout=20)
    assert reply.status == status
    assert json.loads(reply.data)["error"]
    assert triton.server.ready()


@pytest.fixture(scope="module")
def strict(engine: Path, installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    folder = tmp_path_factory.mktemp("strict")
    settings = ServeSettings(
        max_batch_size=2, max_queue_size=2, on_long_text="refuse", max_text_bytes=2_000_000, response_cache_mb=4
    )
    with running(build_release(engine, folder, settings), installation, folder / "log") as server:
        yield server


@pytest.fixture
def strict_client(strict: Triton) -> Iterator[InferenceServerClient]:
    with asking(strict) as client:
        yield client


def test_texts_with_too_many_tokens_are_refused_if_so_configured(
    strict_client: InferenceServerClient,
) -> None:
    with pytest.raises(InferenceServerException) as error:
        embed(strict_client, [GOOD, "x " * 500_000])
    assert "INVALID: TEXT[1] has " in error.value.message()
    assert "tokens with its prefix; the limit is 64" in error.value.message()
    assert embed(strict_client, [GOOD, GOOD]).shape == (2, 32)


def test_requests_beyond_the_queue_are_refused_and_the_others_are_answered(
    strict_client: InferenceServerClient,
) -> None:
    good = embed(strict_client, [GOOD])

    def send(number: int) -> str:
        try:
            assert embed(strict_client, [f"press {number}"]).shape == good.shape
        except InferenceServerException as error:
            assert error.status() == "StatusCode.UNAVAILABLE"
            return error.message()
        return "ok"

    with ThreadPoolExecutor(64) as pool:
        replies = list(pool.map(send, range(640)))
    refused = [reply for reply in replies if reply != "ok"]
    assert refused
    assert len(refused) < 640
    assert all("Exceeds maximum queue size" in reply for reply in refused)
    np.testing.assert_array_equal(embed(strict_client, [GOOD]), good)


def test_identical_requests_are_answered_from_the_response_cache(
    strict: Triton, strict_client: InferenceServerClient
) -> None:
    before = metric(strict.metrics_port, "nv_cache_num_hits_per_model", strict.model)
    first = embed(strict_client, ["a text of this test only"])
    np.testing.assert_array_equal(embed(strict_client, ["a text of this test only"]), first)
    assert metric(strict.metrics_port, "nv_cache_num_hits_per_model", strict.model) == before + 1
