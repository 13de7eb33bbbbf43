"""Reads reStructuredText with docutils, without file insertion or raw output; Sphinx's additions become text."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

from docutils import frontend, nodes, utils
from docutils.parsers.rst import Directive, Parser, directives, roles
from docutils.transforms.references import Substitutions
from docutils.utils import SystemMessage

from embedtune.ingest.blocks import Block, decode, table_block
from embedtune.ingest.readers.directives import ARGUMENT_IS_NO_TEXT, CODE, DROPPED, LABELS, role_text

# The exceptions that docutils' parser is known to raise on broken input.
FAILURES: tuple[type[Exception], ...] = (SystemMessage, utils.ExtensionOptionError)
_SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "report_level": 5,
    "halt_level": 5,
    "warning_stream": False,
    "syntax_highlight": "none",
    "smart_quotes": False,
    "line_length_limit": 100_000_000,
    "id_prefix": "",
}
_DIRECTIVE = re.compile(r"\.\. +(?:\|[^|\n]+\| +)?([\w:.+-]+?) ?::(?:\s|$)", re.MULTILINE)
_ROLE = re.compile(r":([\w.+:-]+):`")
_MARKS = re.compile(r"^(?:\||:[\w.+:-]+:`|`+)(.*?)[|`_]*$", re.DOTALL)
_DIRECTIVE_HEAD = re.compile(r"\A\s*\.\. [^\n]*(?:\n[ \t]+:[\w-]+:[^\n]*)*")
# The directives that docutils itself reads well; all others are read by `_TextDirective`.
_READ_BY_DOCUTILS = """
list-table csv-table table replace unicode date role default-role topic sidebar epigraph highlights pull-quote
compound line-block rubric image
"""
_KEPT = frozenset(_READ_BY_DOCUTILS.split())


class _TextDirective(Directive):
    """Reads any directive as text: its title or argument, then its content. All options are ignored."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = defaultdict(lambda: directives.unchanged, {"class": directives.unchanged})

    def run(self) -> list[nodes.Node]:
        """Return the content as a container."""
        name = self.name.lower().rpartition(":")[2] if self.name.lower() not in LABELS else self.name.lower()
        if name in DROPPED:
            return []
        argument = self.arguments[0] if self.arguments else ""
        if name in CODE:
            text = "\n".join(self.content)
            return [nodes.literal_block(text, text)] if text.strip() else []
        shown = "" if name in ARGUMENT_IS_NO_TEXT else argument
        box = nodes.container()
        intro = f"{LABELS.get(name, '')} {shown}".strip()
        if intro:
            children, _ = self.state.inline_text(intro, self.lineno)
            box += nodes.paragraph(intro, "", *children)
        self.state.nested_parse(self.content, self.content_offset, box)
        if name in LABELS:
            _join_label(box)
        return [box]


def _join_label(box: nodes.container) -> None:
    """Put the label of an admonition into its first paragraph."""
    if len(box) > 1 and isinstance(box[1], nodes.paragraph):
        label = box[0].astext()
        box[1].insert(0, nodes.Text(label + " "))
        del box[0]


def _text_role(
    name: str, rawtext: str, text: str, lineno: int, inliner: Any, options: Any = None, content: Any = ()
) -> Any:  # the signature is that of docutils, which is not typed
    return [nodes.inline(rawtext, role_text(name, utils.unescape(text)))], []


def read(data: bytes) -> list[Block]:
    """Read reStructuredText.

    Raises:
        UnreadableError: The encoding is unknown.
    """
    return rst_blocks(decode(data))


def rst_blocks(text: str) -> list[Block]:
    """Return the blocks of reStructuredText."""
    _register(text)
    settings = frontend.get_default_settings(Parser)
    for key, value in _SETTINGS.items():
        setattr(settings, key, value)
    document = utils.new_document("document", settings)
    Parser().parse(text, document)
    Substitutions(document).apply()
    _clean(document)
    return list(_blocks(document, 0, 0))


def _clean(document: nodes.document) -> None:
    """Remove docutils' messages that contain no text of the document, and the markup of unresolved references."""
    for message in list(document.findall(nodes.system_message)):
        if message.next_node(nodes.literal_block) is None:
            message.parent.remove(message)
    for problem in list(document.findall(nodes.problematic)):
        problem.parent.replace(problem, nodes.Text(_MARKS.sub(r"\1", problem.astext())))


def _register(text: str) -> None:
    """Register the directives and roles that a text uses with docutils, so that each becomes text."""
    for name in {match.lower() for match in _DIRECTIVE.findall(text)} - _KEPT:
        directives.register_directive(name, _TextDirective)
    for name in {match.lower() for match in _ROLE.findall(text)}:
        roles.register_local_role(name, _text_role)


def _blocks(node: nodes.Node, level: int, depth: int) -> Iterator[Block]:
    """Yield the blocks under a node.

    Args:
        node: A node of the document tree.
        level: Level of the section that contains it.
        depth: Nesting depth of the list that contains it, 0 outside of lists.
    """
    for child in node.children:
        for kinds, handler in _HANDLERS:
            if isinstance(child, kinds):
                yield from handler(child, level, depth)
                break


def _section(node: nodes.section, level: int, depth: int) -> Iterator[Block]:
    yield from _blocks(node, level + 1, depth)


def _title(node: nodes.title, level: int, _depth: int) -> Iterator[Block]:
    yield Block("heading", node.astext(), max(level, 1))


def _code(node: nodes.Element, _level: int, _depth: int) -> Iterator[Block]:
    yield Block("code", node.astext())


def _image(node: nodes.image, _level: int, _depth: int) -> Iterator[Block]:
    yield Block("paragraph", node.get("alt", ""))


def _option(node: nodes.option_list_item, _level: int, depth: int) -> Iterator[Block]:
    yield Block("list", f"{node[0].astext()}  {node[1].astext()}", max(depth - 1, 0))


def _nothing(_node: nodes.Node, _level: int, _depth: int) -> Iterator[Block]:
    yield from ()


def _text(node: nodes.TextElement, _level: int, depth: int) -> Iterator[Block]:
    yield Block("list", node.astext(), depth - 1) if depth else Block("paragraph", node.astext())


def _list(node: nodes.Element, level: int, depth: int) -> Iterator[Block]:
    first = int(node.get("start", 1))
    for number, item in enumerate(node.children, first):
        marker = f"{number}. " if isinstance(node, nodes.enumerated_list) else "- "
        for block in _blocks(item, level, depth + 1):
            if marker and block.kind == "list" and block.level == depth:
                block = replace(block, text=marker + block.text)
                marker = ""
            yield block


def _definition(node: nodes.Element, level: int, depth: int) -> Iterator[Block]:
    """Yield a term with its definition, or a field with its body, on one line if that begins with a paragraph."""
    term = " ".join(child.astext() for child in node.children[:-1])
    inner = list(_blocks(node.children[-1], level, depth))
    if inner and inner[0].kind in ("paragraph", "list"):
        yield Block("list", f"{term}: {inner[0].text}", max(depth - 1, 0))
        yield from inner[1:]
    else:
        yield Block("list", f"{term}:", max(depth - 1, 0))
        yield from inner


def _lines(node: nodes.Element, level: int, depth: int) -> Iterator[Block]:
    for child in node.children:
        if isinstance(child, nodes.line_block):
            yield from _lines(child, level, depth)
        else:
            yield Block("list", child.astext(), max(depth - 1, 0))


def _table(node: nodes.Element, _level: int, _depth: int) -> Iterator[Block]:
    for title in node.findall(nodes.title):
        yield Block("paragraph", title.astext())
    yield table_block([entry.astext() for entry in row.children] for row in node.findall(nodes.row))


def _unread(message: nodes.system_message, _level: int, _depth: int) -> Iterator[Block]:
    """Yield the source of what docutils could not parse; its messages are meant for authors, not for readers."""
    for source in message.findall(nodes.literal_block):
        yield Block("code", _DIRECTIVE_HEAD.sub("", source.astext()))


_HANDLERS: tuple[tuple[tuple[type, ...], Callable[[Any, int, int], Iterator[Block]]], ...] = (
    ((nodes.section,), _section),
    ((nodes.title,), _title),
    ((nodes.literal_block, nodes.doctest_block, nodes.math_block), _code),
    ((nodes.bullet_list, nodes.enumerated_list), _list),
    ((nodes.table,), _table),
    ((nodes.image,), _image),
    ((nodes.line_block,), _lines),
    ((nodes.definition_list_item, nodes.field), _definition),
    ((nodes.option_list_item,), _option),
    ((nodes.system_message,), _unread),
    ((nodes.Invisible, nodes.raw, nodes.label), _nothing),
    ((nodes.TextElement,), _text),
    ((nodes.Element,), _blocks),
)
