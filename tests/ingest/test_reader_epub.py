"""EPUB: chapters in the order of the spine, below the title of the book."""

import io
import zipfile

import pytest

from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.readers.epub import read

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
)
PACKAGE = """<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:title>The Kiln</dc:title></metadata><manifest>
<item id="b" href="two%20words.xhtml" media-type="application/xhtml+xml"/>
<item id="a" href="one.xhtml" media-type="application/xhtml+xml"/>
<item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="p" href="page.svg" media-type="image/svg+xml"/>
<item id="g" href="gone.xhtml" media-type="application/xhtml+xml"/>
</manifest><spine><itemref idref="n"/><itemref idref="a"/><itemref idref="b"/><itemref idref="p"/>
<itemref idref="g"/></spine></package>"""
PAGE = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><h1>{}</h1><p>{}</p></body></html>'


def make_epub(**more: str) -> bytes:
    """Return a book with two chapters, a picture and a chapter that is missing."""
    files = {
        "META-INF/container.xml": CONTAINER,
        "OPS/book.opf": PACKAGE,
        "OPS/nav.xhtml": PAGE.format("Contents", "One, two"),
        "OPS/two words.xhtml": PAGE.format("Second", "It cools."),
        "OPS/one.xhtml": PAGE.format("First", "It heats."),
        "OPS/page.svg": "<svg/>",
        **more,
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return stream.getvalue()


def test_chapters_follow_the_spine_below_the_title() -> None:
    remarks: list[str] = []
    assert read(make_epub(), remarks.append) == [
        Block("heading", "The Kiln", 1),
        Block("heading", "First", 2),
        Block("paragraph", "It heats."),
        Block("heading", "Second", 2),
        Block("paragraph", "It cools."),
    ]
    assert remarks == ["pages that are pictures are not read", "chapters are missing from the file"]


def test_protected_chapter_is_named_and_protected_font_is_not() -> None:
    locked = '<encryption xmlns:e="x"><e:CipherReference URI="{}"/></encryption>'
    with pytest.raises(UnreadableError, match="DRM"):
        read(make_epub(**{"META-INF/encryption.xml": locked.format("OPS/one.xhtml")}))
    assert len(read(make_epub(**{"META-INF/encryption.xml": locked.format("OPS/font.otf")}))) == 5


def test_entities_are_not_expanded() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "BOMB"><!ENTITY b "&a;&a;&a;">]>' + PACKAGE.replace("The Kiln", "Kiln &b;")
    assert "BOMB" not in str(read(make_epub(**{"OPS/book.opf": bomb})))
