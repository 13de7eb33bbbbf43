"""The field `input` of a request, read one item at a time, so that its cost is bounded by the size of the body.

The JSON is already known to be well formed, and is still bytes: no Python object is made of the items behind the
first one that is wrong or too many.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from embedtune.serve.gateway.http_errors import RefusedError, wrong_input
from embedtune.serve.gateway.pieces import numbers_of, utf8_of
from embedtune.serve.gateway.token_ids import NOT_CONFIGURED, TokenIds

# JSON's strings, and lists of numbers. The possessive quantifiers (++, *+) make matching linear, and keep nothing
# for each character. Of the JSON, which is well formed, no alternative matches in part (see pieces.py).
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
NUMBERS = re.compile(rb"\[[-0-9, \t\r\n]*+\]")
BETWEEN = re.compile(rb"[, \t\r\n]*+")
CLOSING = ord("]")
NUMBER = b"-0123456789"
MAX_IDS = 65_536  # of one text: as many as the longest text has bytes, by default
MANY_IDS = re.compile(rb"(?:[^,]*+,){%d}+" % MAX_IDS)
# The text of token ids may be this many times as long as they are, and a short one longer: its words may be long.
IDS_RATIO, IDS_SPARE = 3, 256


@dataclass(frozen=True)
class InputLimits:
    """The limits on the texts of a request.

    Args:
        texts: How many there may be.
        item_bytes: Longest text, in bytes as written in JSON.
    """

    texts: int
    item_bytes: int


def read_texts(given: msgspec.Raw, limits: InputLimits, table: TokenIds | None, name: str) -> list[bytes]:
    """Return the texts of a request in UTF-8.

    Args:
        given: The `input` of the request, as well-formed JSON without space around it.
        limits: What is allowed.
        table: Decodes token ids; None: they are refused.
        name: What the client calls the field.

    Raises:
        RefusedError: It is not a string, or a list of strings or token ids, or is over the limits. The message
            is about the first item that is wrong.
    """
    data = memoryview(given)  # nothing below copies it
    first = bytes(data[:1])
    if first == b'"':
        return [_text(data, f"{name}[0]", limits)]
    if first != b"[":
        raise _wrong(name)
    start = _skip(data, 1)
    kind = bytes(data[start : start + 1])
    if kind == b"]":
        raise wrong_input(f"{name} is an empty list")
    if kind == b'"':
        return list(_items(data[start:], STRING, limits, name, lambda item, at: _text(item, at, limits)))
    if kind != b"[" and kind not in NUMBER:
        raise _wrong(name)
    if table is None:
        raise RefusedError(400, NOT_CONFIGURED, code="token_ids", param=name)
    if kind != b"[":  # one text as a list of numbers
        return [_ids(data, name, table)]
    return list(_items(data[start:], NUMBERS, limits, name, lambda item, at: _ids(item, at, table)))


def _items(
    data: memoryview,
    pattern: re.Pattern[bytes],
    limits: InputLimits,
    name: str,
    read: Callable[[memoryview, str], bytes],
) -> Iterator[bytes]:
    place = start = 0
    while data[start] != CLOSING:
        if place == limits.texts:
            what = f"{name} has more than {limits.texts} texts: send them in several requests"
            raise RefusedError(400, what, code="too_many_inputs", param=name)
        if not (item := pattern.match(data, start)):  # not of the first item's type
            raise _wrong(name)
        yield read(data[start : item.end()], f"{name}[{place}]")
        place, start = place + 1, _skip(data, item.end())


def _skip(data: memoryview, start: int) -> int:
    match = BETWEEN.match(data, start)
    return match.end() if match else start


def _text(item: memoryview, at: str, limits: InputLimits) -> bytes:
    if (size := len(item) - 2) > limits.item_bytes:
        raise wrong_input(f"{at} has {size} bytes; the limit is {limits.item_bytes}")
    try:
        return utf8_of(item)
    except msgspec.DecodeError as error:
        raise wrong_input(f"{at} is not valid UTF-8") from error


def _ids(item: memoryview, at: str, table: TokenIds) -> bytes:
    if MANY_IDS.match(item):
        raise wrong_input(f"{at} has more than {MAX_IDS} token ids")
    try:
        return table.decode(numbers_of(item), IDS_SPARE + IDS_RATIO * len(item))
    except msgspec.DecodeError as error:
        raise wrong_input(f"{at} must be a list of token ids") from error


def _wrong(name: str) -> RefusedError:
    what = f"{name}: must be a string or a list of strings"
    return RefusedError(400, what, code="invalid_request", param=name)
