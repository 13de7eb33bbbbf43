"""Invalid requests to the gateway get OpenAI's error format and the reason; valid ones keep being answered."""

from collections.abc import Iterator

import httpx
import pytest

from embedtune.core.config.serve import ServeSettings
from tests.support.gateway_server import key, serving
from tests.support.triton_server import Triton, options

ALL_NAMES = "embedtune, embedtune-query, embedtune-passage, embedtune@{release}"
SURROGATE = "the body is not JSON, or has a lone surrogate, which is not valid Unicode"
TOO_LARGE = "the body is larger than 4000000 bytes: send fewer texts"


def body(given: str, **fields: str) -> str:
    """Return a request as JSON text; all values are already JSON."""
    rest = "".join(f', "{name}": {value}' for name, value in fields.items())
    return f'{{"model": "embedtune", "input": {given}{rest}}}'


# The request body, then the expected status, param and message.
WRONG = {
    "empty string": (body('""'), 400, "input", "input[0] is empty"),
    "empty string among others": (body('["press", ""]'), 400, "input", "input[1] is empty"),
    "empty list": (body("[]"), 400, "input", "input is an empty list"),
    "null byte": (body(r'["press", "kiln", "a\u0000b"]'), 400, "input", "input[2] contains a null byte"),
    "null byte at the end": (body(r'"a\u0000"'), 400, "input", "input[0] contains a null byte"),
    "lone surrogate": (body(r'["press", "a\ud800"]'), 400, None, SURROGATE),
    "megabyte": (body(f'"{"x" * 1_000_000}"'), 400, "input", "input[0] has 1000000 bytes; the limit is 65536"),
    "wrong text in the third request to Triton": (
        body("[" + '"a", ' * 129 + '""]'),
        400,
        "input",
        "input[129] is empty",
    ),
    "number": (body("7"), 400, "input", "input: must be a string or a list of strings"),
    "null": (body("null"), 400, "input", "input: must be a string or a list of strings"),
    "list of both": (body('["a", 7]'), 400, "input", "input: must be a string or a list of strings"),
    "list of null": (body('["a", null]'), 400, "input", "input: must be a string or a list of strings"),
    "object": (body('{"text": "a"}'), 400, "input", "input: must be a string or a list of strings"),
    "no input": ('{"model": "embedtune"}', 400, "input", "input: is missing"),
    "no model": ('{"input": "a"}', 400, "model", "model: is missing"),
    "field that is no Unicode": ('{"model": "embedtune", "input": "a", "\\ud800": 1}', 400, None, SURROGATE),
    "other dimensions": (
        body('"a"', dimensions="17"),
        400,
        "dimensions",
        "dimensions is 17; this model offers 32, 16",
    ),
    "no dimensions": (
        body('"a"', dimensions="0"),
        400,
        "dimensions",
        "dimensions: expected int >= 1",
    ),
    "dimensions in quotes": (
        body('"a"', dimensions='"16"'),
        400,
        "dimensions",
        "dimensions: expected int, got str",
    ),
    "huge dimensions": (
        body('"a"', dimensions="1" + "0" * 30),
        400,
        "dimensions",
        "dimensions: expected int <= 2147483647",
    ),
    "dimensions in words": (
        body('"a"', dimensions='"many"'),
        400,
        "dimensions",
        "dimensions: expected int, got str",
    ),
    "unknown input type": (
        body('"a"', input_type='"document"'),
        400,
        "input_type",
        "input_type: must be passage or query",
    ),
    "contradiction": (
        '{"model": "embedtune-query", "input": "a", "input_type": "passage"}',
        400,
        "input_type",
        "input_type passage contradicts the model name embedtune-query",
    ),
    "unknown encoding": (
        body('"a"', encoding_format='"int4"'),
        400,
        "encoding_format",
        "encoding_format: must be base64 or binary or float or int8 or ubinary or uint8",
    ),
    "two encodings": (
        body('"a"', encoding_format='"int8"', embedding_type='"uint8"'),
        400,
        "encoding_format",
        "encoding_format int8 contradicts embedding_type uint8",
    ),
    "unknown truncation": (
        body('"a"', truncate='"MIDDLE"'),
        400,
        "truncate",
        "truncate: must be END or NONE or START",
    ),
    "unknown model": (
        '{"model": "text-embedding-3-small", "input": "a"}',
        404,
        "model",
        f"there is no model 'text-embedding-3-small'; this gateway serves {ALL_NAMES}",
    ),
    "model that is no Unicode": (r'{"model": "\ud800", "input": "a"}', 400, None, SURROGATE),
    "too many texts": (
        body("[" + ", ".join(['"a"'] * 2049) + "]"),
        400,
        "input",
        "input has more than 2048 texts: send them in several requests",
    ),
    "no JSON": ('{"model": ', 400, None, "the body is not JSON: Input data was truncated"),
    "no body": ("", 400, None, "the body is empty; it must be a JSON object"),
    "no object": ("[1]", 400, None, "the body is not a JSON object"),
    "no UTF-8": (b'{"model": "embedtune", "input": "\xff"}', 400, "input", "input[0] is not valid UTF-8"),
    "endless nesting": ('{"x": ' + "[" * 200_000, 400, None, "the body is nested too deeply"),
    "five megabytes": (body(f'"{"x" * 5_000_000}"'), 413, None, TOO_LARGE),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_invalid_request_is_refused_with_the_reason_and_the_next_one_answered(
    http: httpx.Client, triton: Triton, name: str
) -> None:
    content, status, param, message = WRONG[name]
    message = message.replace("{release}", triton.release.id[:16])
    reply = http.post("/v1/embeddings", content=content, headers={"Content-Type": "application/json"})
    error = reply.json()["error"]
    found = error["message"].partition(" (byte")[0]
    assert (reply.status_code, error["param"], found) == (status, param, message)
    assert error["type"] == "invalid_request_error"
    assert set(error) == {"message", "type", "param", "code"}
    assert http.post("/v1/embeddings", json={"model": "embedtune", "input": "a"}).status_code == 200


# What curl -d sends by itself, and what a page of another site can send without asking the gateway first.
FORMS = ["application/x-www-form-urlencoded", "text/plain;json", "text/plain;charset=application/json"]


@pytest.mark.parametrize("kind", FORMS)
def test_a_form_is_refused_with_a_hint_to_send_json(http: httpx.Client, kind: str) -> None:
    reply = http.post("/v1/embeddings", content=body('"a"'), headers={"Content-Type": kind})
    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == "the body must be JSON, with Content-Type: application/json"


@pytest.mark.parametrize(
    "kind", ["application/json;charset=utf-8", "Application/JSON", "application/vnd.api+json"]
)
def test_json_has_several_names(http: httpx.Client, kind: str) -> None:
    assert http.post("/v1/embeddings", content=body('"a"'), headers={"Content-Type": kind}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/embeddings", 405, "this path does not support that method"),
        ("POST", "/v1/completions", 404, "there is no such path"),
        ("GET", "/v1/models/embedtune/", 404, "there is no such path"),
    ],
)
def test_other_paths_and_methods_get_the_same_error_format(
    http: httpx.Client, method: str, path: str, status: int, message: str
) -> None:
    reply = http.request(method, path)
    assert (reply.status_code, reply.json()["error"]["message"]) == (status, message)


def test_limits_are_settings(triton: Triton) -> None:
    serve = ServeSettings(max_inputs=2, max_body_bytes=1024)
    with (
        serving(options(triton, serve=serve)) as url,
        httpx.Client(base_url=url) as http,
    ):

        def send(given: list[str]) -> tuple[int, str | None]:
            reply = http.post("/v1/embeddings", json={"model": "embedtune", "input": given})
            return reply.status_code, reply.json().get("error", {}).get("code")

        assert send(["a", "b"]) == (200, None)
        assert send(["a", "b", "c"]) == (400, "too_many_inputs")
        assert send(["a" * 1024]) == (413, "body_too_large")
        # Without a Content-Length the size is known only once the body has arrived.
        chunks = (part for part in (body('"a').encode()[:-1], *[b"x" * 100] * 20, b'"}'))
        reply = http.post("/v1/embeddings", content=chunks, headers={"Content-Type": "application/json"})
        assert reply.status_code == 413


def test_the_model_name_is_a_setting_of_the_gateway(triton: Triton) -> None:
    given = options(triton, serve=ServeSettings(model_name="other"))
    with serving(given) as url, httpx.Client(base_url=url) as http:
        assert http.post("/v1/embeddings", json={"model": "embedtune", "input": "a"}).status_code == 404
        reply = http.post("/v1/embeddings", json={"model": "other", "input": "a"})
        assert (reply.status_code, reply.json()["model"]) == (200, f"other@{triton.release.id[:16]}")


class TestAPIKey:
    @pytest.fixture(scope="class")
    def locked(self, triton: Triton) -> Iterator[str]:
        with serving(options(triton, api_key=key("s3cret-ü"))) as url:
            yield url

    @pytest.mark.parametrize(
        ("header", "message"),
        [
            (None, "no API key: send the header Authorization: Bearer KEY"),
            ("Bearer wrong", "wrong API key"),
            ("Bearer", "wrong API key"),
            ("Bearer s3cret-ü-and-more", "wrong API key"),
            ("Basic s3cret-ü", "wrong API key"),
            ("s3cret-ü", "wrong API key"),
        ],
    )
    def test_a_wrong_or_missing_key_is_refused(self, locked: str, header: str | None, message: str) -> None:
        headers = {"Authorization": header.encode()} if header else {}
        for method, path in (("POST", "/v1/embeddings"), ("GET", "/v1/models"), ("GET", "/playground")):
            reply = httpx.request(method, locked + path, headers=headers, content=body('"a"'))
            assert (reply.status_code, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert reply.json()["error"] == {
                "message": message,
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_api_key",
            }

    def test_the_right_key_is_accepted(self, locked: str) -> None:
        headers = {"Authorization": "bearer s3cret-ü".encode()}
        reply = httpx.post(f"{locked}/v1/embeddings", headers=headers, json={"model": "embedtune", "input": "a"})
        assert reply.status_code == 200
        assert httpx.get(f"{locked}/v1/models", headers=headers).status_code == 200

    def test_probes_metrics_page_and_documentation_need_no_key(self, locked: str) -> None:
        for path in ("/health", "/health/live", "/metrics", "/", "/docs", "/openapi.json"):
            assert httpx.get(locked + path).status_code == 200, path
