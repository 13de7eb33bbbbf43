"""Bodies of requests: JSON that is decoded into typed records by msgspec, with one message for the first error."""

import re
from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from embedtune.serve.gateway.http_errors import RefusedError

Body = TypeVar("Body")
PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
UNSET = re.compile(r" \| null")


def decode(body: bytes, content_type: str, kind: type[Body]) -> Body:
    """Return a request's body as a record.

    Unknown fields are skipped without making objects of them, as the services do whose API this is; a record that
    forbids them has them refused.

    Args:
        body: The body.
        content_type: The request's Content-Type; only JSON is accepted.
        kind: A msgspec.Struct.

    Raises:
        RefusedError: The body is not JSON, or a field is missing or of the wrong type.
    """
    if "json" not in content_type:
        what = "the body must be JSON, with Content-Type: application/json"
        raise RefusedError(400, what, code="invalid_json")
    try:
        record: Body = _decoder(cast("Hashable", kind)).decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error), kind) from error
    except RecursionError as error:
        raise RefusedError(400, "the body is nested too deeply", code="invalid_json") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(400, _not_json(str(error), body), code="invalid_json") from error
    return record


@cache
def _decoder(kind: Hashable) -> Any:  # msgspec.json.Decoder[kind]; the cache loses the type
    return msgspec.json.Decoder(cast("type[Any]", kind))


def _not_json(message: str, body: bytes) -> str:
    if not body:
        return "the body is empty; it must be a JSON object"
    if SURROGATE.search(body):
        return "the body is not JSON, or has a lone surrogate, which is not valid Unicode"
    return f"the body is not JSON: {message.removeprefix('JSON is malformed: ')}"


def _wrong_field(message: str, kind: type[Any]) -> RefusedError:
    found = PATH.search(message)
    path = found["path"] if found else ""
    what = UNSET.sub("", message[: found.start()] if found else message)
    if missing := re.fullmatch(r"Object missing required field `(.*)`", what):
        return RefusedError(400, f"{missing[1]}: is missing", code="invalid_request", param=missing[1])
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL):
        name = unknown[1][:40]
        return RefusedError(400, f"{name}: there is no such field", code="invalid_request", param=name)
    if not path:
        return RefusedError(400, "the body is not a JSON object", code="invalid_json")
    if values := _values(kind, path):
        what = f"must be {' or '.join(values)}"
    what = what[:1].lower() + what[1:].replace("`", "")
    return RefusedError(400, f"{path}: {what}", code="invalid_request", param=path)


def _values(kind: type[Any], name: str) -> list[str]:
    """Return the values that a field of a record may have, if they are listed."""
    from msgspec.inspect import LiteralType, Metadata, StructType, UnionType, type_info

    record = type_info(kind)
    if not isinstance(record, StructType):
        return []
    own = next((field.type for field in record.fields if field.encode_name == name), None)
    if isinstance(own, Metadata):
        own = own.type
    options = own.types if isinstance(own, UnionType) else (own,)
    return [str(value) for option in options if isinstance(option, LiteralType) for value in option.values]
