"""Bodies of requests: JSON that is decoded into typed records by msgspec, with one message for the first error.

A string can take ten times its size while it is decoded. So a body is first only divided into its fields, which
are views of it, and a field is decoded when it is known to be short.
"""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from embedtune.serve.gateway.http_errors import RefusedError

Body = TypeVar("Body")
FIELD_BYTES = 65_536  # of a field other than the texts
SHORT_BODY = 65_536
PATH = re.compile(r" - at `\$(?P<path>[^`]*)`$")
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
JSON_TYPE = re.compile(r"\s*application/(?:[\w.-]+\+)?json\s*(?:;|$)", re.IGNORECASE)
UNSET = re.compile(r" \| null")


@dataclass(frozen=True)
class _Fields:
    """How the fields of a record are read.

    Args:
        divide: Decodes a body to an object with the same fields, as they are written.
        decoders: For each field; None: it stays as it is written.
    """

    divide: Any  # msgspec.json.Decoder of an object that is defined at runtime
    decoders: dict[str, Any]  # msgspec.json.Decoder of the field's type


def decode(body: bytes, content_type: str, kind: type[Body]) -> Body:
    """Return a request's body as a record.

    Unknown fields are skipped without making objects of them, as the services do whose API this is; a record that
    forbids them has them refused.

    Args:
        body: The body.
        content_type: The request's Content-Type; only JSON is accepted.
        kind: A msgspec.Struct.

    Raises:
        RefusedError: The body is not JSON, or a field is missing, too long, or of the wrong type.
    """
    # Only what a page of another site cannot send without asking first: not text/plain;json, for example.
    if not JSON_TYPE.match(content_type):
        what = "the body must be JSON, with Content-Type: application/json"
        raise RefusedError(400, what, code="invalid_json")
    fields = _fields(cast("Hashable", kind))
    try:
        divided = fields.divide.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_fields(str(error)) from error
    except RecursionError as error:
        raise RefusedError(400, "the body is nested too deeply", code="invalid_json") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(400, _not_json(str(error), body), code="invalid_json") from error
    written = {name: getattr(divided, name) for name in fields.decoders}
    return kind(**{name: _field(kind, name, raw) for name, raw in written.items() if len(memoryview(raw))})


def decode_short(body: bytes, content_type: str, kind: type[Body]) -> Body:
    """Return the body of a request that has no texts to embed.

    Args:
        body: The body.
        content_type: The request's Content-Type; only JSON is accepted.
        kind: A msgspec.Struct.

    Raises:
        RefusedError: The body is too large, or `decode` refuses it.
    """
    if len(body) > SHORT_BODY:
        raise RefusedError(413, f"the body is larger than {SHORT_BODY} bytes", code="body_too_large")
    return decode(body, content_type, kind)


@cache
def _fields(kind: Hashable) -> _Fields:
    record = cast("type[msgspec.Struct]", kind)
    unset = msgspec.Raw()
    divided = msgspec.defstruct(
        record.__name__,
        [
            (field.name, msgspec.Raw) if field.required else (field.name, msgspec.Raw, unset)
            for field in msgspec.structs.fields(record)
        ],
        forbid_unknown_fields=record.__struct_config__.forbid_unknown_fields,
    )
    decoders = {
        field.name: None if _is_raw(field.type) else msgspec.json.Decoder(field.type)
        for field in msgspec.structs.fields(record)
    }
    return _Fields(msgspec.json.Decoder(divided), decoders)


def _is_raw(kind: Any) -> bool:
    return kind is msgspec.Raw or getattr(kind, "__origin__", None) is msgspec.Raw


def _field(kind: type[Any], name: str, written: msgspec.Raw) -> Any:
    """Return the value of a field."""
    decoder = _fields(cast("Hashable", kind)).decoders[name]
    if decoder is None:
        return written
    if (size := len(memoryview(written))) > FIELD_BYTES:
        what = f"{name}: has {size} bytes; the limit is {FIELD_BYTES}"
        raise RefusedError(400, what, code="invalid_request", param=name)
    try:
        return decoder.decode(written)
    except msgspec.ValidationError as error:
        raise _wrong_value(kind, name, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(400, f"{name}: is not valid UTF-8", code="invalid_request", param=name) from error


def _not_json(message: str, body: bytes) -> str:
    if not body:
        return "the body is empty; it must be a JSON object"
    if SURROGATE.search(body):
        return "the body is not JSON, or has a lone surrogate, which is not valid Unicode"
    return f"the body is not JSON: {message.removeprefix('JSON is malformed: ')}"


def _wrong_fields(what: str) -> RefusedError:
    if missing := re.fullmatch(r"Object missing required field `(.*)`", what):
        return RefusedError(400, f"{missing[1]}: is missing", code="invalid_request", param=missing[1])
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL):
        name = unknown[1][:40]
        return RefusedError(400, f"{name}: there is no such field", code="invalid_request", param=name)
    return RefusedError(400, "the body is not a JSON object", code="invalid_json")


def _wrong_value(kind: type[Any], name: str, message: str) -> RefusedError:
    found = PATH.search(message)
    path = name + (found["path"] if found else "")
    what = UNSET.sub("", message[: found.start()] if found else message)
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
