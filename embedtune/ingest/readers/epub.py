"""Reads EPUB: the chapters in the order of the book's spine, each as an HTML page."""

import posixpath
from collections.abc import Iterator
from urllib.parse import unquote
from zipfile import ZipFile

from embedtune.ingest.blocks import Block, UnreadableError, with_title
from embedtune.ingest.encodings import Remark, ignore
from embedtune.ingest.readers import html
from embedtune.ingest.readers.packages import open_package, parse_xml
from embedtune.ingest.readers.word_xml import Element, attribute, name

_PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")


def read(data: bytes, remark: Remark = ignore) -> list[Block]:
    """Read a book: its title is the outermost heading; the table of contents is left out.

    Raises:
        UnreadableError: It is protected (DRM), has no chapters, or is far too large when unpacked.
    """
    with open_package(data, ".epub") as archive:
        container = parse_xml(archive.read("META-INF/container.xml"))
        package = next(attribute(node, "full-path") for node in container.iter() if name(node) == "rootfile")
        root = parse_xml(archive.read(package))
        locked = _locked(archive)
        blocks: list[Block] = []
        for href, kind in _spine(root):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(href.partition("#")[0])))
            if path in locked:
                raise UnreadableError("protected against copying (DRM)")
            if kind not in _PAGES:
                remark("pages that are pictures are not read")
            elif path not in archive.namelist():
                remark("chapters are missing from the file")
            else:
                blocks += html.read(archive.read(path), remark)
    title = next((node.text for node in root.iter() if name(node) == "title" and node.text), None)
    return with_title([_deeper(block) if title else block for block in blocks], title)


def _deeper(block: Block) -> Block:
    return Block("heading", block.text, block.level + 1) if block.kind == "heading" else block


def _spine(root: Element) -> Iterator[tuple[str, str]]:
    """Yield the file and the media type of each chapter, in the order of reading."""
    items = {attribute(node, "id"): node for node in root.iter() if name(node) == "item"}
    for reference in (node for node in root.iter() if name(node) == "itemref"):
        item = items.get(attribute(reference, "idref"))
        if item is not None and "nav" not in attribute(item, "properties").split():
            yield attribute(item, "href"), attribute(item, "media-type")


def _locked(archive: ZipFile) -> set[str]:
    """Return the files that are encrypted; fonts often are, which does not matter."""
    if "META-INF/encryption.xml" not in archive.namelist():
        return set()
    root = parse_xml(archive.read("META-INF/encryption.xml"))
    return {unquote(attribute(node, "URI")) for node in root.iter() if name(node) == "CipherReference"}
