"""The page on the gateway's HTTP API, from its OpenAPI schema and its table of refusals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedtune.cli.reference.markdown import page, table
from embedtune.serve.gateway.app import GatewayOptions, create_app
from embedtune.serve.gateway.guard import OPEN
from embedtune.serve.gateway.http_errors import REFUSAL_CODES

INTRODUCTION = """The gateway (`embedtune gateway`) speaks OpenAI's embeddings API.
`/openapi.json` contains the schema this page is generated from, and `/docs` shows it in a browser.
[serving.md](../serving.md) has examples for the usual clients."""
ERRORS = """Every error has the body `{"error": {"message", "type", "param", "code"}}`, as OpenAI's clients expect:
`message` says which text or field is wrong and what would be right; `code` is meant for programs. With status 429,
503 and 504 the header `Retry-After` says when to try again."""

Schema = dict[str, Any]  # OpenAPI, as FastAPI writes it


def render() -> str:
    """Return the page."""
    schema = create_app(GatewayOptions("127.0.0.1:8001", Path("serving.json"))).openapi()
    parts = [INTRODUCTION]
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            parts += _operation(f"{method.upper()} {path}", operation, schema)
    open_paths = ", ".join(f"`{path}`" for path in OPEN)
    parts += [
        "## API key",
        "When the gateway has keys (`EMBEDTUNE_API_KEY`, `--keys`), clients send one as "
        "`Authorization: Bearer KEY`. "
        f"Reading these paths needs none: {open_paths}.",
        "## Errors",
        ERRORS,
        table(
            ("status", "`code`", "when"),
            [(str(status), f"`{code}`", when) for code, (status, when) in REFUSAL_CODES.items()],
        ),
        "A path that does not exist (404) or does not take the method (405) has no `code`.",
    ]
    return page("HTTP API", "the gateway's OpenAPI schema and `embedtune/serve/gateway/http_errors.py`", parts)


def _operation(title: str, operation: Schema, schema: Schema) -> Iterator[str]:
    yield f"## `{title}`"
    yield f"{operation['summary']}."
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        yield "Request body:"
        yield _fields(body, schema)
    for status, answer in operation["responses"].items():
        content = answer.get("content", {}).get("application/json", {}).get("schema", {})
        if status == "200" and "$ref" in content:
            yield "Answer:"
            yield _fields(content, schema)
    statuses = [(f"`{status}`", answer["description"]) for status, answer in operation["responses"].items()]
    yield table(("status", "meaning"), statuses)


def _fields(body: Schema, schema: Schema) -> str:
    model = _resolved(body, schema)
    required = model.get("required", ())
    rows = [
        (f"`{name}`", _kind(field, schema), _default(name, field, required), field.get("description", ""))
        for name, field in model["properties"].items()
    ]
    return table(("field", "type", "default", "meaning"), rows)


def _resolved(body: Schema, schema: Schema) -> Schema:
    if "$ref" not in body:
        return body
    model: Schema = schema["components"]["schemas"][body["$ref"].split("/")[-1]]
    return model


def _default(name: str, field: Schema, required: list[str]) -> str:
    if name in required:
        return "required"
    return f"`{field['default']}`" if field.get("default") is not None else ""


def _kind(field: Schema, schema: Schema) -> str:
    """Return the type of a field in short: `string`, `integer[]`, the allowed values, or a model's fields."""
    if "$ref" in field:
        return f"{{{', '.join(f'`{name}`' for name in _resolved(field, schema)['properties'])}}}"
    if "anyOf" in field:
        return " or ".join(_kind(option, schema) for option in field["anyOf"] if option.get("type") != "null")
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        return f"{_kind(field['items'], schema)}[]"
    return str(field.get("type", ""))
