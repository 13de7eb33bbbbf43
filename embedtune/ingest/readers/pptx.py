"""Reads PPTX with python-pptx: titles as headings, all text, tables, charts, diagrams and speaker notes."""

import io
from collections.abc import Iterator

from pptx import Presentation
from pptx.opc.package import Part
from pptx.slide import Slide

from embedtune.ingest.blocks import Block, table_block
from embedtune.ingest.encodings import Remark, ignore
from embedtune.ingest.readers.packages import as_libraries_know_it, open_package, parse_xml
from embedtune.ingest.readers.word_xml import Element, attribute, formula_text, name, parts

_TITLES = ("title", "ctrTitle")
_FURNITURE = ("dt", "ftr", "sldNum", "hdr", "sldImg")  # date, footer, slide number
_BODY = ("", "body", "obj", "subTitle")


def read(data: bytes, remark: Remark = ignore) -> list[Block]:
    """Read a presentation: the title of its first slide is the outermost heading; hidden slides are left out.

    Raises:
        UnreadableError: The presentation is encrypted, or far too large when unpacked.
    """
    with open_package(data, ".pptx", ".ppt") as archive:
        if any(entry.startswith("ppt/comments/") for entry in archive.namelist()):
            remark("comments are not read")
    blocks: list[Block] = []
    for slide in Presentation(as_libraries_know_it(io.BytesIO(data))).slides:
        if attribute(slide.element, "show") in ("0", "false"):
            remark("hidden slides are not read")
            continue
        found = list(_slide(slide, remark))
        if not found and next(parts(slide.shapes.element, ("pic",)), None) is not None:
            remark("slides with nothing but pictures are not read")
        first = not any(block.kind == "heading" for block in blocks)
        blocks += [
            Block("heading", block.text, 1 if first else 2) if block.kind == "heading" else block
            for block in found
        ]
        if slide.has_notes_slide:
            blocks += _notes(slide)
    return blocks


def _slide(slide: Slide, remark: Remark) -> Iterator[Block]:
    """Yield the title of a slide as a heading, then the other shapes in their order."""
    shapes = list(parts(slide.shapes.element, ("sp", "graphicFrame", "cxnSp")))
    shapes.sort(key=lambda shape: _placeholder(shape) not in _TITLES)
    for shape in shapes:
        kind = _placeholder(shape)
        if name(shape) == "graphicFrame":
            yield from _frame(shape, slide.part, remark)
        elif kind in _TITLES:
            yield Block("heading", " ".join(text for _, text in _paragraphs(shape)))
        elif kind not in _FURNITURE:
            yield from _body(shape, listed=kind in _BODY)


def _placeholder(shape: Element) -> str | None:
    """Return the kind of placeholder that a shape is: empty if it is not said, None if it is no placeholder."""
    found = next((node for node in shape.iter() if name(node) == "ph"), None)
    return None if found is None else attribute(found, "type")


def _body(shape: Element, *, listed: bool) -> Iterator[Block]:
    """Yield the paragraphs of a shape; several in a placeholder are a list, as are indented ones."""
    paragraphs = list(_paragraphs(shape))
    for level, text in paragraphs:
        if level or (listed and len(paragraphs) > 1):
            yield Block("list", f"- {text}", level)
        else:
            yield Block("paragraph", text)


def _paragraphs(shape: Element) -> Iterator[tuple[int, str]]:
    """Yield the level and the text of each paragraph that is not empty."""
    for paragraph in parts(shape, ("p",)):
        properties = next((node for node in paragraph if name(node) == "pPr"), None)
        level = attribute(properties, "lvl") if properties is not None else ""
        if text := _text(paragraph).strip():
            yield int(level or 0), text


def _text(element: Element) -> str:
    """Return the text of a paragraph, with line breaks and equations."""
    found = parts(element, ("t", "br", "oMath"))
    return "".join("\n" if name(node) == "br" else formula_text(node) for node in found)


def _notes(slide: Slide) -> list[Block]:
    shapes = parts(slide.notes_slide.shapes.element, ("sp",))
    texts = [text for shape in shapes if _placeholder(shape) == "body" for _, text in _paragraphs(shape)]
    return [Block("paragraph", text) for text in texts]


def _frame(frame: Element, part: Part, remark: Remark) -> Iterator[Block]:
    """Yield what is in a frame: a table, a chart or a diagram."""
    for table in parts(frame, ("tbl",)):
        rows = (parts(row, ("tc",)) for row in parts(table, ("tr",)))
        yield table_block([_cell(cell) for cell in row] for row in rows)
    for node in frame.iter():
        if name(node) == "chart":
            found = list(_chart(parse_xml(part.related_part(attribute(node, "id")).blob)))
            if not found:
                remark("charts of newer kinds, such as funnels, are not read")
            yield from found
        elif name(node) == "relIds":
            yield from _diagram(parse_xml(part.related_part(attribute(node, "dm")).blob))
        elif name(node) == "oleObj":
            remark("embedded objects, such as worksheets on a slide, are not read")


def _cell(cell: Element) -> str:
    """Return the text of a cell, empty if it continues another one."""
    if any(attribute(cell, key) in ("1", "true") for key in ("hMerge", "vMerge")):
        return ""
    return "\n".join(text for _, text in _paragraphs(cell))


def _chart(root: Element) -> Iterator[Block]:
    """Yield the title of a chart, and its numbers as a table: a row per category, a column per series."""
    for chart in parts(root, ("chart",)):
        for title in parts(chart, ("title",)):
            if text := _text(title).strip():
                yield Block("paragraph", text)
        series = list(parts(chart, ("ser",)))
        named = [" ".join(_values(one, "tx")) for one in series]
        categories = next((found for one in series if (found := _values(one, "cat") or _values(one, "xVal"))), [])
        columns = [_values(one, "val") or _values(one, "yVal") for one in series]
        length = max(map(len, [categories, *columns]), default=0)
        padded = [[*column, *[""] * (length - len(column))] for column in (categories, *columns)]
        if series:
            yield table_block([["", *named], *zip(*padded, strict=True)])


def _values(series: Element, which: str) -> list[str]:
    """Return the stored values of one part of a series; those of categories with several levels are joined."""
    return [node.text or "" for part in parts(series, (which,)) for node in parts(part, ("v",))]


def _diagram(root: Element) -> Iterator[Block]:
    for point in (node for node in root.iter() if name(node) == "pt"):
        if text := " ".join(text for _, text in _paragraphs(point)):
            yield Block("list", f"- {text}")
