"""Reads e-mail: the subject and the text of a message, without what it quotes; mailboxes message by message."""

import hashlib
import mailbox
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from pathlib import Path

from bs4 import BeautifulSoup

from embedtune.core.config.records import RecordSettings
from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.encodings import Remark, decode, ignore
from embedtune.ingest.entries import Entry, Unread
from embedtune.ingest.readers.blobs import without_blobs
from embedtune.ingest.readers.html import html_blocks
from embedtune.ingest.readers.plain import plain_blocks

DEEPEST = 5  # messages inside messages
_ENCRYPTED = ("multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime")
_REPLY = re.compile(r"^\s*(?:re|aw|antw|sv|vs|r[eé]p?|odp)\s*(?:\[\d+\])?\s*:", re.IGNORECASE)
_SIGNATURE = re.compile(r"^-- ?$")
# The line above a quotation ("On 3 May, … wrote:", "Am 3. Mai schrieb …:"), and what Outlook writes there.
_INTRODUCTION = re.compile(r"^\s*\S.*[\d@].*:\s*$")
_DIVIDER = re.compile(r"^\s*(?:-{3,}\s*(?:\w+\s+){1,3}\w*\s*-{3,}|_{20,})\s*$")
_FROM = re.compile(r"^\W*(?:From|Von|De|Da|Van|Fra|Från):")
_SENT = re.compile(r"^\W*(?:Sent|Date|Gesendet|Datum|Envoyé|Enviado|Inviato|Verzonden|Sendt|Skickat):")
_QUOTED_HTML = """
blockquote[type=cite], .gmail_quote, .yahoo_quoted, .moz-cite-prefix, #divRplyFwdMsg, #divRplyFwdMsg ~ *,
#appendonsend ~ *
"""
_SIGNATURE_HTML = ".gmail_signature, .moz-signature, [style*='display:none'], [style*='display: none']"


def read(data: bytes, remark: Remark = ignore) -> list[Block]:
    """Read one message.

    Raises:
        UnreadableError: It is encrypted, or no message.
    """
    message = message_from_bytes(data, policy=policy.default)
    if not message.keys():
        raise UnreadableError("not an e-mail message: it has no header")
    return list(_message(message, remark, 1))


def read_mbox(path: Path, _: RecordSettings | None) -> Iterator[Entry | Unread]:
    """Yield the messages of a mailbox; one that cannot be read is named by its Message-ID.

    Raises:
        UnreadableError: There is no message in it.
    """
    box = mailbox.mbox(path, create=False)
    seen: set[str] = set()
    try:
        for number, place in enumerate(box.iterkeys(), 1):
            data = box.get_bytes(place).replace(b"\n>From ", b"\nFrom ")
            entry = _entry(data, number)
            if entry.key in seen:
                entry = Unread(f"{entry.key} (message {number})", "repeats an earlier message")
            seen.add(entry.key)
            yield entry
    finally:
        box.close()
    if not seen:
        raise UnreadableError("no message found: an mbox file begins each with a line 'From …'")


def _entry(data: bytes, number: int) -> Entry | Unread:
    key = f"message {number}"
    remarks: list[str] = []
    try:
        message = message_from_bytes(data, policy=policy.default)
        key = str(message.get("message-id", "")).strip("<> \t\r\n") or hashlib.sha256(data).hexdigest()[:12]
        return Entry(key, list(_message(message, remarks.append, 1)), remarks=tuple(dict.fromkeys(remarks)))
    except UnreadableError as error:
        return Unread(key, error.what)
    except Exception as error:  # whatever the parser raises on one message, the others are still read
        return Unread(key, f"damaged message: {type(error).__name__}: {error}"[:200])


def _message(message: EmailMessage, remark: Remark, level: int) -> Iterator[Block]:
    if message.get_content_type() in _ENCRYPTED:
        raise UnreadableError("encrypted message")
    subject = " ".join(str(message.get("subject", "")).split())
    if subject:
        yield Block("heading", subject, level)
    reply = bool(message.get("in-reply-to") or message.get("references") or _REPLY.match(subject))
    body = message.get_body(("plain", "html"))
    if body is not None and body.get_content_subtype() == "plain" and not _text(body, ignore).strip():
        body = message.get_body(("html",))
    if body is not None:
        text = _text(body, remark)
        blocks = (
            _html(text, remark, reply=reply)
            if body.get_content_subtype() == "html"
            else _plain(text, remark, reply=reply)
        )
        for block in blocks:
            yield Block("heading", block.text, block.level + level) if block.kind == "heading" else block
    yield from _attachments(message, body, remark, level)


def _attachments(message: EmailMessage, body: Message | None, remark: Remark, level: int) -> Iterator[Block]:
    """Yield the messages that are attached; other attachments are said."""
    if not message.is_multipart():
        if body is None:
            remark("messages without text are not read")
        return
    for part in message.iter_attachments():
        inner = (
            part.get_payload(0) if part.get_content_type() == "message/rfc822" and part.is_multipart() else None
        )
        if isinstance(inner, EmailMessage) and level < DEEPEST:
            yield from _message(inner, remark, level + 1)
        elif not part.get_content_type().startswith(
            ("image/", "multipart/", "application/pgp-sig", "application/pkcs7-sig")
        ):
            remark("attachments are not read")


def _text(part: Message, remark: Remark) -> str:
    """Return the text of a part; the encoding that it declares is often wrong."""
    payload = part.get_payload(decode=True)
    declared = part.get_content_charset()
    return decode(payload if isinstance(payload, bytes) else b"", remark, declared)


def _plain(text: str, remark: Remark, *, reply: bool) -> list[Block]:
    lines = text.replace("\r\n", "\n").split("\n")
    end = next((place for place, line in enumerate(lines) if _SIGNATURE.match(line)), len(lines))
    kept = _unquoted(lines[:end]) if reply else lines[:end]
    if len(kept) < end:
        remark("what replies quote is not read")
    return plain_blocks(without_blobs("\n".join(kept), remark), titled=True)


def _unquoted(lines: list[str]) -> list[str]:
    """Leave out quoted lines with the line that introduces them, and everything after Outlook's divider."""
    kept: list[str] = []
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if _DIVIDER.match(line) or (_FROM.match(line) and _SENT.match(following)):
            break
        if not line.startswith(">"):
            kept.append(line)
        elif number and not lines[number - 1].startswith(">"):
            while kept and not kept[-1].strip():
                kept.pop()
            if kept and _INTRODUCTION.match(kept[-1]):
                kept.pop()
            kept.append("")
    return kept


def _html(text: str, remark: Remark, *, reply: bool) -> list[Block]:
    soup = BeautifulSoup(text, "lxml")
    for node in soup.select(_SIGNATURE_HTML):
        node.decompose()
    if reply and (quoted := soup.select(_QUOTED_HTML)):
        remark("what replies quote is not read")
        for node in quoted:
            node.extract()
    return html_blocks(str(soup))
