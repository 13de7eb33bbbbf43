"""Long texts, decoded piece by piece.

A Python string has four bytes per character as soon as one of them is an emoji, and decoding it takes as much
again: as a whole, a text would take ten times its size.
"""

import re
from collections.abc import Iterator
from io import BytesIO

import msgspec

PIECE = 16_384  # bytes
# As many whole characters as there are; a surrogate pair is one. Nothing follows the groups, so nothing makes them
# backtrack. They are not possessive, since Python 3.11.2, that of Debian 12, ends such a match in the middle of an
# alternative that fails (fixed in 3.11.5).
WHOLE = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u(?![dD][89abAB])[0-9a-fA-F]{4})*"
)
LIST_PART = re.compile(rb"[^,]*+(?:,[^,]*+){0,255}")
_string = msgspec.json.Decoder(str)
_numbers = msgspec.json.Decoder(list[int])


def utf8_of(item: memoryview) -> bytes:
    """Return a string in UTF-8.

    Args:
        item: The string as well-formed JSON.

    Raises:
        msgspec.DecodeError: It is not valid UTF-8.
    """
    if len(item) <= PIECE:
        return _string.decode(item).encode()
    text, inner, start = BytesIO(), item[1:-1], 0
    while start < len(inner):
        end = _cut(inner, start)
        text.write(_string.decode(b'"%b"' % bytes(inner[start:end])).encode())
        start = end
    return text.getvalue()  # of BytesIO, unlike that of a bytearray, this is no copy


def _cut(inner: memoryview, start: int) -> int:
    """Return where a piece ends: not within an escape, nor within a character."""
    if len(inner) - start <= PIECE:
        return len(inner)
    whole = WHOLE.match(inner, start, start + PIECE)
    end = whole.end() if whole else start
    for _ in range(3):  # of the four bytes that a character has at most, these do not begin one
        end -= inner[end] & 0xC0 == 0x80
    return end


def numbers_of(item: memoryview) -> Iterator[list[int]]:
    """Yield the numbers of a list, not all of them at once.

    Args:
        item: The list as well-formed JSON.

    Raises:
        msgspec.DecodeError: Not all of it are integers.
    """
    inner, start = item[1:-1], 0
    while start <= len(inner):
        part = LIST_PART.match(inner, start)
        end = part.end() if part else len(inner)
        yield _numbers.decode(b"[%b]" % bytes(inner[start:end]))
        start = end + 1  # behind the comma
