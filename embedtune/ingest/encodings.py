"""Decodes the bytes of documents: by mark, by UTF-8, by what a page declares, else by Firefox's detector."""

import codecs
import re
from collections.abc import Callable
from pathlib import Path

import webencodings
from chardetng_py import EncodingDetector

from embedtune.ingest.blocks import UnreadableError

Remark = Callable[[str], None]
MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
SAMPLE = 1 << 20  # bytes that the detector sees
MOST_DAMAGE = 0.01  # share of the characters outside ASCII that may be unreadable before a file is skipped
MOST_FOREIGN = 0.1  # with a greater share of unreadable characters, a file is not UTF-8 at all
KOREAN_MAIL = b"\x1b$)C"  # begins ISO-2022-KR, which is no encoding of the web
PYTHON_NAMES = {"cp874": "windows-874"}  # what the detector calls by Python's name
UNICODE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_UNASSIGNED = re.compile("[\ufffd\x80-\x84\x86-\x9f]")
# What Mac Roman looks like when it is read as a Windows code page: capitals inside words, letters for marks.
_OUT_OF_PLACE = re.compile(
    r"(?<=[a-z\u00df-\u00ff])[\u00c0-\u00d6\u00d8-\u00de\u0160\u017d\u0178\u0152]"
    r"|(?<=\w)[\u00a1-\u00a9\u00ab-\u00b1\u00b4\u00b6\u00bf\u2020\u2021\u02c6\u2039\u203a](?=[a-z])"
    r"|(?<!\w)[\u00d0\u00d1\u00de](?!\w)|(?<!\w)[\u00d2\u00d4](?=\w)|(?<=[A-Z])[\u00d3\u00d5](?!\w)"
)


def ignore(_: str) -> None:
    """Take a remark that nobody reads."""


def decode(data: bytes, remark: Remark = ignore, declared: str | None = None) -> str:
    """Decode text by its byte-order mark, as UTF-8, by the declared label, or by what its bytes look like.

    Args:
        data: The bytes.
        remark: Called with what users should know: the encoding was guessed, or characters are lost.
        declared: The label that the document gives its encoding, with its meaning on the web (ISO-8859-1 is
            Windows-1252, GB2312 is GB18030).

    Raises:
        UnreadableError: The encoding is not recognised, or the data is binary.
    """
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return _strict(data, encoding)
    if b"\x00" in data:
        return _wide(data, remark)[0]
    known = webencodings.lookup(declared) if declared else None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        pass
    else:  # ISO-2022 is in ASCII's bytes, with escapes
        if b"\x1b" not in data or not text.isascii():
            return text
    if (found := _damaged_utf8(data, remark)) is not None:
        return found
    if known and known.name not in ("utf-8", "utf-16le", "utf-16be"):
        found = _readable(data, known, remark)
    return found if found is not None else _guess(data, remark)[0]


def file_encoding(path: Path, remark: Remark = ignore) -> str:
    """Return the name of the codec for a file that may not fit in memory; the whole file is looked at.

    Args:
        path: A text file.
        remark: Called if the encoding was guessed, or characters are lost.

    Raises:
        UnreadableError: The encoding is not recognised, or the data is binary.
    """
    utf8 = codecs.getincrementaldecoder("utf-8")()
    sample, valid = bytearray(), True
    with path.open("rb") as stream:
        head = stream.read(SAMPLE)
        for mark, encoding in MARKS:
            if head.startswith(mark):
                return encoding
        if b"\x00" in head:
            return _wide(head[: len(head) // 4 * 4], remark)[1]
        stream.seek(0)
        while (valid or len(sample) < SAMPLE) and (line := stream.readline(SAMPLE)):
            if len(sample) < SAMPLE and (not line.isascii() or b"\x1b" in line):
                sample += line
            try:
                utf8.decode(line)
            except UnicodeDecodeError:
                valid = False
                utf8.reset()
    if valid or _damaged_utf8(bytes(sample), remark) is not None:
        return "utf-8"
    return _guess(bytes(sample), remark)[1]


def _strict(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError(f"not valid {encoding.removesuffix('-sig')}: {error.reason}") from error


def _wide(data: bytes, remark: Remark) -> tuple[str, str]:
    """Decode UTF-16 or UTF-32 without a mark: of the possible forms, the one with the most characters of ASCII.

    Returns:
        The text, and the codec.
    """
    texts = {encoding: text for encoding in UNICODE if "\x00" not in (text := _lenient(data, encoding) or "\x00")}
    encoding = max(texts, key=lambda name: sum("\x07" < char < "\x7f" for char in texts[name]), default="")
    text = texts.get(encoding, "\x00")
    usual = sum(char.isalnum() or char.isspace() or "!" <= char <= "~" for char in text)
    if usual < 0.8 * len(text) or "\x00" in text:
        raise UnreadableError("binary content: it contains NUL bytes")
    remark(f"encoding guessed: {encoding}")
    return text, encoding


def _lenient(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _damaged_utf8(data: bytes, remark: Remark) -> str | None:
    """Decode UTF-8 in which a few bytes are wrong; None if it is something else.

    Raises:
        UnreadableError: It is UTF-8, but too much of it is wrong.
    """
    text = data.decode(errors="replace")
    lost = text.count("\ufffd")
    whole = len(_beyond_ascii(text)) - lost
    if not lost or lost > MOST_FOREIGN * whole:
        return None
    if lost > MOST_DAMAGE * whole:
        raise UnreadableError(f"damaged UTF-8: {lost} characters are unreadable")
    remark(f"damaged UTF-8: {lost} characters are unreadable")
    return text


def _readable(data: bytes, encoding: webencodings.Encoding, remark: Remark) -> str | None:
    """Decode as browsers do, with a replacement for what is wrong; None if too much is."""
    text: str = encoding.codec_info.decode(data, "replace")[0]
    lost = len(_UNASSIGNED.findall(text))
    if lost > MOST_DAMAGE * sum(char > "\x7f" for char in text):
        return None
    if lost:
        remark(f"{lost} characters are unreadable as {encoding.name}")
    return text


def _guess(data: bytes, remark: Remark) -> tuple[str, str]:
    """Decode by the detector; the text, and the codec."""
    if KOREAN_MAIL in data and (text := _lenient(data, "iso2022_kr")) is not None:
        remark("encoding guessed: iso-2022-kr")
        return text, "iso2022_kr"
    detector = EncodingDetector()
    detector.feed(data[:SAMPLE], last=True)
    name = detector.guess(tld=None, allow_utf8=False)
    encoding = webencodings.lookup(PYTHON_NAMES.get(name, name))
    western = webencodings.lookup("windows-1252")
    text = _readable(data, encoding, remark)
    if text is not None and _is_latin(text):
        mac = data.decode("mac_roman")
        if _OUT_OF_PLACE.search(text) and not _OUT_OF_PLACE.search(mac):
            text, encoding = mac, webencodings.lookup("macintosh")
        elif (plain := _readable(data, western, ignore)) and not re.search(r"[^\W\d_]", _beyond_ascii(plain)):
            text, encoding = plain, western  # only signs: the detector has nothing to go by
    if text is None or (encoding is western and _is_foreign(text)):
        raise UnreadableError("encoding not recognised: neither UTF-8 nor readable in the likeliest other one")
    remark(f"encoding guessed: {encoding.name}")
    return text, "mac_roman" if encoding.name == "macintosh" else encoding.codec_info.name


def _beyond_ascii(text: str) -> str:
    return "".join(char for char in text if char > "\x7f")


def _is_foreign(text: str) -> bool:
    """Tell whether most words with a letter beyond ASCII have no other: another alphabet that is read as Latin."""
    words: list[str] = [word for word in re.findall(r"[^\W\d_]{4,}", text) if not word.isascii()]
    return sum(min(word) > "\x7f" for word in words) * 2 > len(words)


def _is_latin(text: str) -> bool:
    """Tell whether most letters are Latin."""
    return sum(char.isalpha() and char < "\u0250" for char in text) * 2 > sum(map(str.isalpha, text))
