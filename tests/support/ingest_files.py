"""Makes small documents for tests."""

import io
from collections.abc import Mapping, Sequence

from docx import Document

Line = tuple[int, str]


def make_pdf(pages: Sequence[Sequence[Line]]) -> bytes:
    """Return a PDF in Helvetica, given the lines of each page from the top, with their font sizes."""
    streams = []
    for lines in pages:
        drawn = []
        for number, (size, text) in enumerate(lines):
            escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            drawn.append(f"BT /F1 {size} Tf 50 {780 - 24 * number} Td ({escaped}) Tj ET")
        streams.append("\n".join(drawn))
    return pdf_of(streams)


def pdf_of(streams: Sequence[str], to_unicode: Mapping[str, str] | None = None) -> bytes:
    """Return a PDF, given what is drawn on each page with the font F1.

    Args:
        streams: The operators of each page.
        to_unicode: The letters that the font shows in the places of others.
    """
    mapped = [f"<{ord(code):02x}> <{ord(char):04x}>" for code, char in (to_unicode or {}).items()]
    codes = "1 begincodespacerange <00> <ff> endcodespacerange"
    cmap = f"begincmap {codes} {len(mapped)} beginbfchar {' '.join(mapped)} endbfchar endcmap".encode()
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica %s >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        font % (b"/ToUnicode 4 0 R" if mapped else b""),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(cmap), cmap),
    ]
    kids = []
    for drawn in streams:
        stream = drawn.encode("latin-1")
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    xref = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, xref))
    return out.getvalue()


def make_docx() -> bytes:
    """Return a Word document with a title, headings, lists, a merged table cell and a listing."""
    document = Document()
    document.add_heading("Pump manual", 0)
    document.add_paragraph("The pump is in the hall.")
    document.add_heading("Limits", 1)
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ("Item", "Value", "Flow", "8 l/s"), strict=True):
        cell.text = text
    document.add_heading("Start", 1)
    document.add_paragraph("Open the valve.", style="List Number")
    document.add_paragraph("Press start.", style="List Number")
    document.add_paragraph("Check:")
    document.add_paragraph("seal", style="List Bullet")
    document.add_paragraph("hose", style="List Bullet 2")
    document.add_paragraph("set speed 3", style="macro")
    document.add_paragraph("set ramp 4", style="macro")
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()
