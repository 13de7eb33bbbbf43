"""Reads HTML with Beautiful Soup and lxml: the main content, without navigation, scripts and page furniture."""

import re
from dataclasses import dataclass, field

from bs4 import BeautifulSoup
from bs4.dammit import EncodingDetector
from bs4.element import NavigableString, PreformattedString, Tag
from bs4.exceptions import ParserRejectedMarkup

from embedtune.ingest.blocks import Block, decode, table_block, with_title

FAILURES: tuple[type[Exception], ...] = (ParserRejectedMarkup, AssertionError)
_FURNITURE = """
script style nav footer header aside form noscript template svg iframe object canvas button select textarea input
head link meta audio video map
"""
_BLOCK_LEVEL = """
address article blockquote body center dd details div dl dt fieldset figcaption figure hgroup hr html li main p
section summary tbody td tfoot th thead tr
"""
_FURNITURE_ROLES = "navigation banner contentinfo search complementary"
_DROPPED = frozenset(_FURNITURE.split())
_BLOCKS = frozenset(_BLOCK_LEVEL.split())
_ROLES = frozenset(_FURNITURE_ROLES.split())
_HEADING = re.compile(r"^h([1-6])$")


def read(data: bytes) -> list[Block]:
    """Read a page; its `<title>` becomes the first heading if the page has no top-level heading.

    Raises:
        UnreadableError: The encoding is unknown.
    """
    declared = EncodingDetector.find_declared_encoding(data, is_html=True)
    soup = BeautifulSoup(_decode(data, declared), "lxml")
    title = soup.title.get_text(" ", strip=True) if soup.title else None
    root = soup.select_one("main, [role=main]") or soup.body or soup
    return with_title(_blocks_of(root), title)


def html_blocks(text: str) -> list[Block]:
    """Return the blocks of a fragment of HTML, such as a part of a Markdown document."""
    return _blocks_of(BeautifulSoup(text, "lxml"))


def _decode(data: bytes, declared: str | None) -> str:
    if declared:
        try:
            return data.decode(declared)
        except (LookupError, UnicodeDecodeError):
            return decode(data)
    return decode(data)


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
        page.blocks.append(
            table_block([cell.get_text(" ") for cell in row.find_all(["th", "td"])] for row in tag.find_all("tr"))
        )
    elif tag.name in ("ul", "ol"):
        _list(tag, page)
    elif tag.name == "br":
        page.line.append("\n")
    elif tag.name == "img":
        page.line.append(str(tag.get("alt") or ""))
    elif tag.name in _BLOCKS or tag.name == "table":
        page.flush()
        _walk(tag, page)
        page.flush()
    else:
        _walk(tag, page)


def _list(tag: Tag, page: _Page) -> None:
    page.flush()
    page.depth += 1
    for number, item in enumerate(tag.find_all("li", recursive=False), 1):
        page.marker = f"{number}. " if tag.name == "ol" else "- "
        _walk(item, page)
        page.flush()
    page.depth -= 1
    page.marker = ""


def _is_furniture(tag: Tag) -> bool:
    if tag.name == "header":  # the header of an article contains its title, that of a page contains navigation
        return tag.find_parent(["main", "article"]) is None
    hidden = tag.has_attr("hidden") or tag.get("aria-hidden") == "true"
    return tag.name in _DROPPED or hidden or str(tag.get("role")) in _ROLES


def _anchorless(heading: Tag) -> str:
    """Return a heading without the ¶ or # that documentation tools append to it."""
    return re.sub(r"\s*[¶#🔗]\s*$", "", heading.get_text(" ", strip=True))
