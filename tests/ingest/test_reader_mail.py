"""E-mail: what the sender wrote, not what was quoted; what is attached and not read is said."""

from email.message import EmailMessage
from pathlib import Path

import pytest

from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.entries import Found, Unread
from embedtune.ingest.readers.mail import read
from embedtune.ingest.reading import read_documents


def message(text: str, subject: str = "Pump", *, html: str | None = None, **headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.org", subject
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    if html is not None:
        mail.add_alternative(html, subtype="html")
    return mail


def texts(mail: EmailMessage, remarks: list[str] | None = None) -> list[str]:
    found: list[str] = [] if remarks is None else remarks
    return [block.text for block in read(mail.as_bytes(), found.append)]


def test_subject_is_the_heading_and_the_signature_is_left_out() -> None:
    mail = message("Dear all,\n\nit leaks at 40 bar.\n\n-- \nAnn\n+1 555", "Seal of the pump")
    assert read(mail.as_bytes()) == [
        Block("heading", "Seal of the pump", 1),
        Block("paragraph", "Dear all,"),
        Block("paragraph", "it leaks at 40 bar."),
    ]


@pytest.mark.parametrize(
    "quoted",
    [
        "On Mon, 3 Nov 2025 at 10:00, Bo <b@example.org> wrote:\n\n> It leaks.\n> Where?\n",
        "Am 3. Mai schrieb Bo:\n> It leaks.\n",
        "-----Original Message-----\nFrom: Bo\nIt leaks.\n",
        "-----Ursprüngliche Nachricht-----\nVon: Bo\nIt leaks.\n",
        "From: Bo <b@example.org>\nSent: Monday\nTo: Ann\n\nIt leaks.\n",
    ],
)
def test_reply_leaves_out_what_it_quotes_and_says_so(quoted: str) -> None:
    remarks: list[str] = []
    assert texts(message(f"At the seal.\n\n{quoted}", "Re: Pump"), remarks) == ["Re: Pump", "At the seal."]
    assert remarks == ["what replies quote is not read"]


def test_answers_between_quotations_and_their_own_words_are_kept() -> None:
    text = "> Where?\nSee here:\n> And when?\nAt 40 bar."
    assert texts(message(text, In_Reply_To="<1@x>")) == ["Pump", "See here:", "At 40 bar."]


def test_forwarded_message_keeps_what_it_quotes() -> None:
    assert "It leaks." in texts(message("See below.\n\n> It leaks.\n", "Fwd: Pump"))[-1]


def test_html_is_read_if_there_is_no_plain_text() -> None:
    html = "<p>At the <b>seal</b>.</p><div class='gmail_quote'>It leaks.</div><p style='display:none'>track</p>"
    mail = EmailMessage()
    mail["Subject"], mail["References"] = "Pump", "<1@x>"
    mail.set_content(html, subtype="html")
    assert texts(mail) == ["Pump", "At the seal."]
    assert texts(message("", html="<p>At the seal.</p>")) == ["Pump", "At the seal."]
    assert texts(message("Plain.", html="<p>Rich.</p>")) == ["Pump", "Plain."]


def test_attached_message_is_read_and_other_attachments_are_said() -> None:
    mail = message("See both.")
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="a.pdf")
    mail.add_attachment(message("It leaks.", "Inner"))
    remarks: list[str] = []
    assert read(mail.as_bytes(), remarks.append)[2:] == [
        Block("heading", "Inner", 2),
        Block("paragraph", "It leaks."),
    ]
    assert remarks == ["attachments are not read"]


def test_wrong_charset_encoded_subject_and_data_in_the_text() -> None:
    head = b"Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe?=\nContent-Type: text/plain; charset=us-ascii\n\n"
    remarks: list[str] = []
    found = read(head + "Die Größe.\n\n".encode() + b"QUJD" * 100, remarks.append)
    assert [block.text for block in found] == ["Größe", "Die Größe.", "…"]
    assert remarks == ["encoded data inside the text is not read"]


def test_encrypted_and_empty_messages_are_named() -> None:
    with pytest.raises(UnreadableError, match="encrypted"):
        read(b"Content-Type: multipart/encrypted; boundary=x\n\n--x--")
    with pytest.raises(UnreadableError, match="not an e-mail"):
        read(b"\nhello")


def test_mailbox_is_read_message_by_message(tmp_path: Path) -> None:
    path = tmp_path / "a.mbox"
    mails = [
        message("First.\n\nFrom the start", Message_ID="<1@x>"),
        message("Second."),
        message("First again.", Message_ID="<1@x>"),
    ]
    raw = [mail.as_bytes().replace(b"\nFrom the", b"\n>From the") for mail in mails]
    path.write_bytes(b"".join(b"From a@example.org Mon Nov  3 10:00:00 2025\n" + data + b"\n" for data in raw))
    first, second, third = read_documents(path.name, path, ())
    assert isinstance(first, Found) and first.key == "1@x"
    assert first.extract.text == "Pump\n\nFirst.\n\nFrom the start"
    assert isinstance(second, Found) and len(second.key) == 12
    assert third == Unread("1@x (message 3)", "repeats an earlier message")
    path.write_text("no mailbox")
    with pytest.raises(UnreadableError, match="no message found"):
        list(read_documents(path.name, path, ()))
