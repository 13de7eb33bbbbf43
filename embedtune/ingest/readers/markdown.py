"""Reads Markdown with markdown-it-py: CommonMark, tables, front matter, and the directives and roles of MyST."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from embedtune.ingest.blocks import Block, table_block, with_title
from embedtune.ingest.encodings import Remark, decode, ignore
from embedtune.ingest.readers.directives import ARGUMENT_IS_NO_TEXT, CODE, DROPPED, LABELS, role_text
from embedtune.ingest.readers.html import html_blocks
from embedtune.ingest.readers.rst import rst_blocks

_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_COLON_FENCE = re.compile(r"^( {0,3})(:{3,})[ \t]*(?:\{?([\w-]+)\}?([^\n`]*))?$", re.MULTILINE)
_DIRECTIVE = re.compile(r"^\{([\w:.+-]+)\}\s*(.*)$")
_OPTIONS = re.compile(r"\A(?:---\n.*?\n---\n|(?:[ \t]*:[\w-]+:[^\n]*\n)+)", re.DOTALL)
_MYST_LINE = re.compile(r"^ {0,3}(?:\([\w.:/ -]+\)=|%.*)$", re.MULTILINE)
_ROLE = re.compile(r"\{([\w:.+-]+)\}$")
_ALERT = re.compile(r"^\[!(\w+)\]\s*")
_ATTRIBUTES = re.compile(r"\s*\{[#.:][^{}]*\}\s*$")
_TAG = re.compile(r"<br\s*/?>", re.IGNORECASE)


def read(data: bytes, remark: Remark = ignore) -> list[Block]:
    """Read Markdown; a title in the front matter becomes the first heading if the text has no top-level heading.

    Raises:
        UnreadableError: The encoding is unknown.
    """
    text = decode(data, remark).replace("\r\n", "\n").replace("\r", "\n")
    title = None
    if match := _FRONT_MATTER.match(text):
        title = _title(match.group(1))
        text = text[match.end() :]
    return with_title(markdown_blocks(text), title)


def _title(front_matter: str) -> str | None:
    try:
        record = yaml.safe_load(front_matter)
    except yaml.YAMLError:
        return None  # front matter is for a site generator; here the text is what counts
    title = record.get("title") if isinstance(record, dict) else None
    return str(title) if title else None


def markdown_blocks(text: str) -> list[Block]:
    """Return the blocks of Markdown text."""
    text = _COLON_FENCE.sub(_backticks, text)
    text = _MYST_LINE.sub("", text)
    page = _Page()
    for token in _PARSER.parse(text):
        page.take(token)
    return page.blocks


def _backticks(match: re.Match[str]) -> str:
    """Rewrite a MyST or Docusaurus fence of colons as a fence of backticks."""
    indent, colons, name, rest = match.groups()
    fence = indent + "`" * len(colons)
    return f"{fence}{{{name}}}{rest}" if name else fence


@dataclass
class _Page:
    """The blocks so far, and the current position in lists and tables."""

    blocks: list[Block] = field(default_factory=list)
    depth: int = 0
    marker: str = ""
    level: int = 0
    rows: list[list[str]] | None = None

    def take(self, token: Token) -> None:
        """Read one token of the flat stream."""
        if handler := _HANDLERS.get(token.type):
            handler(self, token)

    def heading(self, token: Token) -> None:
        """Begin a heading; inside lists and quotes it is a paragraph."""
        self.level = int(token.tag[1]) if token.level == 0 else 0

    def heading_end(self, _: Token) -> None:
        """End a heading."""
        self.level = 0

    def list_edge(self, token: Token) -> None:
        """Begin or end a list."""
        self.depth += token.nesting

    def item(self, token: Token) -> None:
        """Begin a list item; its first paragraph gets the bullet or number."""
        self.marker = f"{token.info}{token.markup} " if token.info else "- "

    def item_end(self, _: Token) -> None:
        """End a list item, which may have been empty."""
        self.marker = ""

    def table_edge(self, token: Token) -> None:
        """Begin or end a table."""
        if self.rows is not None:
            self.blocks.append(table_block(self.rows))
        self.rows = [] if token.nesting == 1 else None

    def row(self, _: Token) -> None:
        """Begin a row."""
        if self.rows is not None:
            self.rows.append([])

    def inline(self, token: Token) -> None:
        """Read the text of a heading, cell, item or paragraph."""
        self._text(_inline_text(token.children or []))

    def fence(self, token: Token) -> None:
        """Read a fenced block."""
        self.blocks += _fence(token.info.strip(), token.content)

    def code(self, token: Token) -> None:
        """Read an indented code block."""
        self.blocks.append(Block("code", token.content))

    def html(self, token: Token) -> None:
        """Read a block of HTML."""
        self.blocks += html_blocks(token.content)

    def _text(self, text: str) -> None:
        if self.rows is not None:
            self.rows[-1].append(text)
        elif self.level:
            self.blocks.append(Block("heading", _ATTRIBUTES.sub("", text), self.level))
        elif self.depth:
            self.blocks.append(Block("list", self.marker + text, self.depth - 1))
            self.marker = ""
        else:
            self.blocks.append(Block("paragraph", _ALERT.sub(lambda m: f"{m.group(1).capitalize()}: ", text)))


_HANDLERS: dict[str, Callable[[_Page, Token], None]] = {
    "heading_open": _Page.heading,
    "heading_close": _Page.heading_end,
    "bullet_list_open": _Page.list_edge,
    "bullet_list_close": _Page.list_edge,
    "ordered_list_open": _Page.list_edge,
    "ordered_list_close": _Page.list_edge,
    "list_item_open": _Page.item,
    "list_item_close": _Page.item_end,
    "table_open": _Page.table_edge,
    "table_close": _Page.table_edge,
    "tr_open": _Page.row,
    "inline": _Page.inline,
    "fence": _Page.fence,
    "code_block": _Page.code,
    "html_block": _Page.html,
}


def _inline_text(tokens: list[Token]) -> str:
    pieces: list[str] = []
    for token in tokens:
        match token.type:
            case "code_inline" if pieces and (name := _ROLE.search(pieces[-1])):
                pieces[-1] = pieces[-1][: name.start()]
                pieces.append(role_text(name.group(1), token.content))
            case "text" | "code_inline":
                pieces.append(token.content)
            case "softbreak" | "hardbreak":
                pieces.append("\n")
            case "image":
                pieces.append(_inline_text(token.children or []))
            case "html_inline" if _TAG.match(token.content):
                pieces.append("\n")
    return "".join(pieces)


def _fence(info: str, content: str) -> list[Block]:
    """Return a fenced code block, or the text that a reader sees of a MyST directive."""
    match = _DIRECTIVE.match(info)
    if not match:
        return [Block("code", content)]
    name, argument = match.group(1).lower(), match.group(2)
    if name in DROPPED:
        return []
    if name == "eval-rst":
        return rst_blocks(content)
    body = _OPTIONS.sub("", content)
    if name in CODE:
        return [Block("code", body)]
    argument = "" if name in ARGUMENT_IS_NO_TEXT else argument
    intro = f"{LABELS.get(name, '')} {argument}".strip()
    return markdown_blocks(f"{intro}\n{body}" if name in LABELS else f"{intro}\n\n{body}")
