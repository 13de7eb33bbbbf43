"""Reads Markdown with markdown-it-py: CommonMark, tables, front matter, and the directives and roles of MyST."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from embedtune.ingest.blocks import Block, table_block, with_title
from embedtune.ingest.encodings import Remark, decode, ignore
from embedtune.ingest.readers.directives import ARGUMENT_IS_NO_TEXT, CODE, DROPPED, LABELS, role_text
from embedtune.ingest.readers.fences import lines_of
from embedtune.ingest.readers.html import html_blocks
from embedtune.ingest.readers.rst import rst_blocks
from embedtune.ingest.readers.site_marks import without_site_marks

_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_COLON_FENCE = re.compile(r"^( {0,3})(:{3,})[ \t]*(?:\{?([\w-]+)\}?(.*))?$")
_TOML = re.compile(r"\A\+\+\+[ \t]*\n(.*?\n)\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL)
_KEY = re.compile(r"(?:#.*\n\s*)*[\"']?[\w.-]+[\"']?[ \t]*:(?:\s|\Z)|[:\[{]")
_DIRECTIVE = re.compile(r"^\{([\w:.+-]+)\}\s*(.*)$")
_OPTIONS = re.compile(r"\A(?:---\n.*?\n---\n|(?:[ \t]*:[\w-]+:[^\n]*\n)+)", re.DOTALL)
_TARGET = re.compile(r"^ {0,3}\([\w.:/ -]+\)=$")
_COMMENT = re.compile(r"^ {0,3}%")
_MYST = re.compile(
    r"^ {0,3}(?:(?:`{3,}|~{3,}|:{3,})\{[\w:.+-]+\}|\([\w.:/ -]+\)=$)|\{[\w:.+-]+\}`[^`]", re.MULTILINE
)
_ROLE = re.compile(r"\{([\w:.+-]+)\}$")
_ALERT = re.compile(r"^\[!(\w+)\][+-]?\s*")  # Obsidian: with a sign, it can be folded
_ATTRIBUTES = re.compile(r"\s*\{[#.:][^{}]*\}\s*$")
_TAG = re.compile(r"<br\s*/?>", re.IGNORECASE)


def read(data: bytes, remark: Remark = ignore) -> list[Block]:
    """Read Markdown; a title in the front matter becomes the first heading if the text has no top-level heading.

    Raises:
        UnreadableError: The encoding is unknown.
    """
    text = decode(data, remark).replace("\r\n", "\n").replace("\r", "\n")
    title, text = _front_matter(text)
    return with_title(markdown_blocks(text), title)


def _title(front_matter: str) -> str | None:
    """Return the title in YAML front matter, None if it has none or is not YAML: the text is what counts."""
    try:
        record = yaml.safe_load(front_matter)
    except yaml.YAMLError:
        match = re.search(r"^title:[ \t]*(.+)$", front_matter, re.MULTILINE)
        return match.group(1).strip(" \"'") if match else None
    title = record.get("title") if isinstance(record, dict) else None
    return str(title) if title else None


def _front_matter(text: str) -> tuple[str | None, str]:
    """Return the title of the front matter (YAML, or Hugo's TOML), and the text after it."""
    if match := _TOML.match(text):
        try:
            title = tomllib.loads(match.group(1)).get("title")
        except tomllib.TOMLDecodeError:
            return None, text
        return (str(title) if title else None), text[match.end() :]
    match = _FRONT_MATTER.match(text)
    # Text between two thematic breaks is not front matter: that has a key on its first line.
    if match and (not match.group(1).strip() or _KEY.match(match.group(1).lstrip())):
        return _title(match.group(1)), text[match.end() :]
    return None, text


def markdown_blocks(text: str, myst: bool | None = None) -> list[Block]:
    """Return the blocks of Markdown text.

    Args:
        text: The text.
        myst: Whether lines that begin with % are comments; by default, whether the text uses what only MyST has.
    """
    text = without_site_marks(text)
    myst = bool(_MYST.search(_outside_code(text))) if myst is None else myst
    page = _Page(myst)
    for token in _PARSER.parse(_plain_markdown(text, myst)):
        page.take(token)
    return page.blocks


def _plain_markdown(text: str, myst: bool) -> str:
    """Rewrite fences of colons as fences of tildes, without MyST's comments and targets; code stays as it is."""
    lines = []
    for line, is_code in lines_of(text):
        if is_code:
            lines.append(line)
        elif match := _COLON_FENCE.match(line):
            indent, colons, name, rest = match.groups()
            fence = indent + "~" * len(colons)
            lines.append(f"{fence}{{{name}}}{rest}" if name else fence)
        else:
            lines.append("" if _TARGET.match(line) or (myst and _COMMENT.match(line)) else line)
    return "\n".join(lines)


def _outside_code(text: str) -> str:
    return "\n".join(line for line, is_code in lines_of(text) if not is_code)


@dataclass
class _Page:
    """The blocks so far, and the current position in lists and tables."""

    myst: bool
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
        self.blocks += _fence(token.info.strip(), token.content, self.myst)

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
            case "html_inline" if token.content.lower() == "<sup>" and pieces and pieces[-1][-1:].isdigit():
                pieces.append("^")
    return "".join(pieces)


def _fence(info: str, content: str, myst: bool) -> list[Block]:
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
    return markdown_blocks(f"{intro}\n{body}" if name in LABELS else f"{intro}\n\n{body}", myst)
