"""Text in whatever encoding it comes."""
# ruff: noqa: RUF001

import pytest

from embedtune.ingest.blocks import UnreadableError
from embedtune.ingest.encodings import decode
from embedtune.ingest.readers import html

RUSSIAN = "Машинист проверяет давление масла до пуска."
JAPANESE = "ポンプを止めてから弁を閉じる。"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("größe", "utf-8"), ("größe", "utf-8-sig"), ("größe", "utf-16"), ("größe", "utf-32"), ("", "utf-8")],
)
def test_unicode_is_decoded_without_a_remark(text: str, encoding: str) -> None:
    remarks: list[str] = []
    assert decode(text.encode(encoding), remarks.append) == text
    assert remarks == []


def test_mark_of_utf_32_with_the_high_byte_first() -> None:
    assert decode(b"\x00\x00\xfe\xff" + "größe".encode("utf-32-be")) == "größe"


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        ("größe 5 €", "cp1252", "windows-1252"),
        ("Preis: £5", "cp1252", "windows-1252"),
        ("Le réglage de l’entrée se fait à la main.", "cp1252", "windows-1252"),
        ("A Viet-made valve – “new” – at 80 °C", "mac_roman", "macintosh"),
        ("Der Kühler wird täglich geprüft.", "mac_roman", "macintosh"),
        (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8_r", "koi8-u"),
        ("Zawór zamyka się, aby wymienić łożysko.", "cp1250", "windows-1250"),
        ("Işık yanınca şalteri kapatın.", "cp1254", "windows-1254"),
        (JAPANESE, "cp932", "shift_jis"),
        (JAPANESE, "euc_jp", "euc-jp"),
        ("펌프를 멈추고 밸브를 닫는다.", "cp949", "euc-kr"),
        ("停泵之后才能打开阀门。", "gbk", "gb18030"),
        ("停泵之後才能打開閥門。", "big5", "big5"),
        ("เครื่องสูบน้ำหยุดทำงาน", "cp874", "windows-874"),
        ("펌프를 멈춘다.", "iso2022_kr", "iso-2022-kr"),
        ("The pump is stopped.", "utf-32-le", "utf-32-le"),
        ("The pump is stopped.", "utf-32-be", "utf-32-be"),
        ("The pump is stopped.", "utf-16-le", "utf-16-le"),
        ("The pump is stopped.", "utf-16-be", "utf-16-be"),
        (f"1. {RUSSIAN}", "utf-16-le", "utf-16-le"),
    ],
)
def test_other_encodings_are_guessed_and_said(text: str, encoding: str, name: str) -> None:
    remarks: list[str] = []
    assert decode(text.encode(encoding), remarks.append) == text
    assert remarks in ([f"encoding guessed: {name}"], ["encoding guessed: gbk"])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a\x00b", "binary"),
        (b"\x00\x01\x02\x03" * 50, "binary"),
        (bytes(range(128, 256)) * 5, "encoding not recognised"),
        # By the detector this is Windows-1252, in which hardly a word would have a plain letter.
        (
            "Затем он открывает впускной клапан и ждёт, пока стрелка не дойдёт до зелёной черты.".encode("cp855"),
            "encoding not recognised",
        ),
        (b"\xff\xfea", "utf-16"),
        (("停泵" * 5).encode() + b"\x9d", "damaged UTF-8: 1 "),
    ],
)
def test_unknown_bytes_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        decode(data)


def test_one_wrong_byte_in_a_long_text_is_said() -> None:
    remarks: list[str] = []
    text = decode(("停泵之后" * 50).encode() + b"\x9d", remarks.append)
    assert text == "停泵之后" * 50 + "\ufffd"
    assert remarks == ["damaged UTF-8: 1 characters are unreadable"]


@pytest.mark.parametrize(
    ("label", "encoding", "text"),
    [
        ("gb2312", "gb18030", "镕基停泵"),  # 镕 is not in GB2312
        ("shift_jis", "cp932", "①番の弁"),  # ① is Windows' addition
        ("x-sjis", "cp932", JAPANESE),
        ("windows-31j", "cp932", JAPANESE),
        ("euc-kr", "cp949", "똠방각하 밸브"),  # 똠 is not in EUC-KR
        ("iso-8859-1", "cp1252", "“hot” – 80 °C"),
        ("iso-8859-9", "cp1254", "ışık “kırmızı”"),
        ("ISO-2022-JP", "iso2022_jp", JAPANESE),
    ],
)
def test_a_page_is_decoded_as_browsers_do(label: str, encoding: str, text: str) -> None:
    page = f'<meta charset="{label}"><p>{text}</p>'.encode(encoding)
    remarks: list[str] = []
    assert [block.text for block in html.read(page, remarks.append)] == [text]
    assert remarks == []


@pytest.mark.parametrize("label", ["iso-8859-1", "no-such-encoding", "utf-16"])
def test_a_page_in_utf_8_that_declares_something_else_is_read_as_utf_8(label: str) -> None:
    page = f'<meta charset="{label}"><p>größe</p>'.encode()
    assert html.read(page)[0].text == "größe"
