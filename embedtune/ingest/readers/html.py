"""Reads HTML with Beautiful Soup and lxml: the main content, without navigation, scripts and page furniture."""

import re
import warnings
from dataclasses import dataclass, field

from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, XMLParsedAsHTMLWarning
from bs4.dammit import EncodingDetector
from bs4.element import NavigableString, PreformattedString, Tag

from embedtune.ingest.blocks import Block, table_block, with_title
from embedtune.ingest.encodings import Remark, decode, ignore
from embedtune.ingest.readers.formulas import mathml_text

_FURNITURE = """
script style nav footer header aside noscript template svg iframe object canvas select textarea input
head link meta audio video map
ix:header
"""
_BLOCK_LEVEL = """
address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure form
header hgroup hr html legend li main menu p search section summary tbody td tfoot th thead tr
"""
_FURNITURE_ROLES = "navigation banner contentinfo search complementary"
_DROPPED = frozenset(_FURNITURE.split())
_BLOCKS = frozenset(_BLOCK_LEVEL.split())
_ROLES = frozenset(_FURNITURE_ROLES.split())
_HEADING = re.compile(r"^h([1-6])$")
_EXPONENT = re.compile(r"^[+\u2212\u2013-]?\d+$")
LONGEST_LABEL = 2  # words; a button with more of them, or with a question, is text: the heading of what it unfolds


def read(data: bytes, remark: Remark = ignore) -> list[Block]:
    """Read a page; its `<title>` becomes the first heading if the page has no top-level heading.

    Raises:
        UnreadableError: The encoding is unknown.
    """
    declared = EncodingDetector.find_declared_encoding(data, is_html=True)
    soup = _parsed(decode(data, remark, declared))
    title = soup.title.get_text(" ", strip=True) if soup.title else None
    root = soup.select_one("main, [role=main]") or soup.body or soup
    _rewrite(root)
    return with_title(_blocks_of(root), title)


def _parsed(text: str) -> BeautifulSoup:
    with warnings.catch_warnings():
        # XHTML is read as the HTML that it nearly is, and text that looks like a path is text.
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
        return BeautifulSoup(text, "lxml")


def html_blocks(text: str) -> list[Block]:
    """Return the blocks of a fragment of HTML, such as a part of a Markdown document."""
    soup = _parsed(text)
    _rewrite(soup)
    return _blocks_of(soup)


def _rewrite(root: Tag) -> None:
    """Turn into text what plain text would lose: line breaks in listings, and that a number is an exponent."""
    for line_break in root.select("pre br"):
        line_break.replace_with("\n")
    for formula in root.find_all("math"):
        formula.replace_with(NavigableString(" ".join(mathml_text(formula).split())))
    for link in root.find_all("a"):
        if link.get("role") == "doc-noteref" or "noteref" in str(link.get("epub:type", "")).split():
            mark = link.parent if link.parent is not None and link.parent.name == "sup" else link
            mark.replace_with(f" [{link.get_text().strip().strip('[]()')}]")
    for raised in root.find_all("sup"):
        if raised.find("a") is not None and _EXPONENT.match(raised.get_text().strip()):
            raised.replace_with(f" [{raised.get_text().strip()}]")  # the mark of a footnote
            continue
        before = raised.previous_sibling
        if (
            isinstance(before, NavigableString)
            and before[-1:].isdigit()
            and _EXPONENT.match(raised.get_text().strip())
        ):
            parent = raised.parent
            raised.replace_with(f"^{raised.get_text().strip()}")
            if parent is not None:
                parent.smooth()


@dataclass
class _Page:
    """The blocks read so far; inline text is collected in `line` until a block ends."""

    blocks: list[Block] = field(default_factory=list)
    line: list[str] = field(default_factory=list)
    depth: int = 0
    marker: str = ""

    def flush(self) -> None:
        """End the paragraph or list item."""
        text = "".join(self.line).strip()
        self.line.clear()
        if not text:
            return
        if self.depth:
            self.blocks.append(Block("list", self.marker + text, self.depth - 1))
            self.marker = ""
        else:
            self.blocks.append(Block("paragraph", text))


def _blocks_of(root: Tag) -> list[Block]:
    page = _Page()
    _walk(root, page)
    page.flush()
    return page.blocks


def _walk(node: Tag, page: _Page) -> None:
    for child in node.children:
        if isinstance(child, Tag):
            _tag(child, page)
        elif isinstance(child, NavigableString) and not isinstance(child, PreformattedString):
            page.line.append(str(child))


def _tag(tag: Tag, page: _Page) -> None:
    if _is_furniture(tag):
        return
    if match := _HEADING.match(tag.name):
        page.flush()
        page.blocks.append(Block("heading", _anchorless(tag), int(match.group(1))))
    elif tag.name == "pre":
        page.flush()
        page.blocks.append(Block("code", tag.get_text()))
    elif tag.name == "table" and tag.find(["table", "pre", "ul", "ol"]) is None:
        page.flush()
        for caption in tag.find_all("caption"):
            page.blocks.append(Block("paragraph", caption.get_text(" ")))
        page.blocks.append(
            table_block([cell.get_text(" ") for cell in row.find_all(["th", "td"])] for row in tag.find_all("tr"))
        )
    elif tag.name in ("ul", "ol"):
        _list(tag, page)
    elif tag.name == "br":
        page.line.append("\n")
    elif tag.name == "img":
        page.line.append(str(tag.get("alt") or ""))
    elif tag.name in _BLOCKS or tag.name in ("table", "button"):
        page.flush()
        _walk(tag, page)
        page.flush()
    else:
        _walk(tag, page)


def _list(tag: Tag, page: _Page) -> None:
    page.flush()
    page.depth += 1
    _items(tag, page, tag.name == "ol", _number(tag.get("start"), 1) - 1)
    page.depth -= 1
    page.marker = ""


def _items(node: Tag, page: _Page, ordered: bool, number: int) -> int:
    """Read the items of a list, also those in wrappers, and return the number of the last one."""
    for child in node.children:
        if not isinstance(child, Tag):
            if isinstance(child, NavigableString) and not isinstance(child, PreformattedString):
                page.line.append(str(child))
            continue
        page.flush()
        if child.name == "li" and not _is_furniture(child):
            number = _number(child.get("value"), number + 1)
            page.marker = f"{number}. " if ordered else "- "
            _walk(child, page)
            page.flush()
        elif child.name not in ("ul", "ol") and child.find("li") is not None and not _is_furniture(child):
            number = _items(child, page, ordered, number)
        else:
            _tag(child, page)
    page.flush()
    return number


def _number(attribute: object, otherwise: int) -> int:
    """Return the number in an attribute of a list or item, or `otherwise` if it has none."""
    return int(str(attribute)) if re.fullmatch(r"\s*-?\d{1,9}\s*", str(attribute)) else otherwise


def _is_furniture(tag: Tag) -> bool:
    if tag.name in ("header", "aside") and str(tag.get("role")) not in _ROLES:
        # The header of an article contains its title, its asides are notes; those of a page contain navigation.
        note = tag.has_attr("epub:type") or str(tag.get("role")).startswith("doc-")  # in a book
        return not note and tag.find_parent(["main", "article"]) is None
    if tag.name == "button":
        label = tag.get_text(" ", strip=True)
        return len(label.split()) <= LONGEST_LABEL and not label.endswith(("?", "\uff1f"))
    hidden = tag.has_attr("hidden") or tag.get("aria-hidden") == "true"
    return tag.name in _DROPPED or hidden or str(tag.get("role")) in _ROLES


def _anchorless(heading: Tag) -> str:
    """Return a heading without the ¶ or # that documentation tools append to it."""
    return re.sub(r"\s*[¶#🔗]\s*$", "", heading.get_text(" ", strip=True))
