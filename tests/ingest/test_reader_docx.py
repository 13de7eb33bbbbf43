import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn

from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.readers import docx, packages
from embedtune.ingest.reading import read_documents
from tests.support.ingest_files import make_docx


def test_structure() -> None:
    assert docx.read(make_docx()) == [
        Block("heading", "Pump manual", 1),
        Block("paragraph", "The pump is in the hall."),
        Block("heading", "Limits", 2),
        Block("table", "Item | Value\nFlow | 8 l/s"),
        Block("heading", "Start", 2),
        Block("list", "1. Open the valve."),
        Block("list", "2. Press start."),
        Block("paragraph", "Check:"),
        Block("list", "- seal"),
        Block("list", "- hose", 1),
        Block("code", "set speed 3\nset ramp 4"),
    ]


def test_without_a_title_headings_begin_at_one() -> None:
    document = Document()
    document.add_heading("Limits", 1)
    stream = io.BytesIO()
    document.save(stream)
    assert docx.read(stream.getvalue()) == [Block("heading", "Limits", 1)]


def test_heading_styles_of_a_template_are_headings() -> None:
    document = Document()
    for style, base in (("Works 1", "Heading 1"), ("Works 2", "Works 1"), ("Works text", "Heading 1")):
        document.styles.add_style(style, WD_STYLE_TYPE.PARAGRAPH).base_style = document.styles[base]
    set_outline(document.styles["Works 2"].element, 1)
    set_outline(document.styles["Works text"].element, 9)
    for style in ("Works 1", "Works 2", "Works text"):
        document.add_paragraph(f"In {style}", style=style)
    set_outline(document.add_paragraph("By itself")._p, 2)
    assert docx.read(saved(document)) == [
        Block("heading", "In Works 1", 1),
        Block("heading", "In Works 2", 2),
        Block("paragraph", "In Works text"),
        Block("heading", "By itself", 3),
    ]


def test_heading_style_that_is_based_on_itself_ends() -> None:
    document = Document()
    style = document.styles.add_style("Works", WD_STYLE_TYPE.PARAGRAPH)
    style.base_style = style
    document.add_paragraph("text", style="Works")
    assert docx.read(saved(document)) == [Block("paragraph", "text")]


def set_outline(element: Any, level: int) -> None:
    node = OxmlElement("w:outlineLvl")
    node.set(qn("w:val"), str(level))
    element.get_or_add_pPr().append(node)


def saved(document: Any) -> bytes:
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def test_merged_cell_counts_once_and_tracked_insertions_are_read() -> None:
    document = Document()
    table = document.add_table(rows=1, cols=3)
    merged = table.cell(0, 0).merge(table.cell(0, 1))
    merged.text = "wide"
    table.cell(0, 2).text = "end"
    paragraph = document.add_paragraph("old ")
    run = paragraph.add_run("new")._r
    inserted = paragraph._p.makeelement(run.tag.replace("}r", "}ins"), {})
    paragraph._p.append(inserted)
    inserted.append(run)
    stream = io.BytesIO()
    document.save(stream)
    assert docx.read(stream.getvalue()) == [Block("table", "wide | end"), Block("paragraph", "old new")]


def test_zip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LARGEST_UNPACKED", 1000)
    with pytest.raises(UnreadableError, match="unpacks"):
        docx.read(make_docx())


@pytest.mark.parametrize(
    "data", [b"", b"not a zip", b"\xd0\xcf\x11\xe0old", make_docx()[:3000], b"PK\x05\x06" + bytes(18)]
)
def test_damaged_file_is_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match=r"damaged|encrypted"):
        list(read_documents(path.name, path, ()))


def test_archive_with_flipped_bytes_is_read_or_named(tmp_path: Path) -> None:
    data = make_docx()
    reasons = set()
    for place in range(60, len(data), len(data) // 150):
        path = tmp_path / "a.docx"
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            list(read_documents(path.name, path, ()))
        except UnreadableError as error:
            reasons.add(error.what.split(":")[1].strip())
    assert {"BadZipFile", "error"} <= reasons


def test_package_without_a_document_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "x")
    with pytest.raises(UnreadableError, match="damaged"):
        list(read_documents(path.name, path, ()))


def with_body(xml: str, notes: str = "") -> bytes:
    """Return a document whose body is this XML, with footnotes."""
    stream = io.BytesIO()
    document = Document()
    document.save(stream)
    spaces = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    more = (
        'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
        'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    )
    out = io.BytesIO()
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.namelist():
            data = old.read(entry)
            if entry == "word/document.xml":
                data = f"<w:document {spaces} {more}><w:body>{xml}</w:body></w:document>".encode()
            if entry == "word/_rels/document.xml.rels":
                kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
                extra = f'<Relationship Id="rId99" Type="{kind}" Target="footnotes.xml"/></Relationships>'
                data = data.replace(b"</Relationships>", extra.encode())
            new.writestr(entry, data)
        new.writestr("word/footnotes.xml", f"<w:footnotes {spaces}>{notes}</w:footnotes>")
    return out.getvalue()


def p(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def test_every_container_of_text_is_entered() -> None:
    def sdt(inner: str) -> str:
        return f"<w:sdt><w:sdtPr/><w:sdtContent>{inner}</w:sdtContent></w:sdt>"

    def cell(inner: str) -> str:
        return f"<w:tc>{inner}</w:tc>"

    def row(*cells: str) -> str:
        return f"<w:tr>{''.join(cells)}</w:tr>"

    box = f"<w:txbxContent>{p('boxed')}</w:txbxContent>"
    nested = f"<w:tbl>{row(cell(p('deep')), cell(p('er')))}</w:tbl>"
    raised = "<w:rPr><w:vertAlign w:val='superscript'/></w:rPr>"
    merged = "<w:tcPr><w:vMerge/></w:tcPr>"
    body = (
        sdt(p("controlled"))
        + f"<w:tbl>{sdt(row(sdt(cell(p('a'))), cell(p('b'))))}{row(cell(merged + p('')), cell(p('c')))}</w:tbl>"
        + f"<w:tbl>{row(cell(p('outer') + nested))}</w:tbl>"
        + "<w:p><w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom><w:r><w:t>kept</w:t></w:r></w:p>"
        + "<w:p><w:moveTo><w:r><w:t>moved</w:t></w:r></w:moveTo></w:p>"
        + "<w:p><w:r><w:t>noted</w:t></w:r><w:r><w:footnoteReference w:id='5'/></w:r></w:p>"
        + "<w:p><w:r><mc:AlternateContent><mc:Choice>"
        + f"{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent></w:r></w:p>"
        + "<w:p><m:oMath><m:r><m:t>E=mc</m:t></m:r></m:oMath></w:p>"
        + f"<w:p><w:r><w:t>10</w:t></w:r><w:r>{raised}<w:t>3</w:t></w:r></w:p>"
    )
    blocks = docx.read(with_body(body, f"<w:footnote w:id='5'>{p('the note')}</w:footnote>"))
    assert [block.text for block in blocks if block.text] == [
        *("controlled", "a | b\n | c", "outer", "deep | er", "kept", "moved"),
        *("noted", "the note", "boxed", "E=mc", "10^3"),
    ]


def test_comments_are_left_out_and_said() -> None:
    remarks: list[str] = []
    docx.read(
        with_body("<w:p><w:r><w:t>text</w:t></w:r><w:r><w:commentReference w:id='1'/></w:r></w:p>"), remarks.append
    )
    docx.read(with_body(p("text")), remarks.append)
    assert remarks == ["comments are not read"]
