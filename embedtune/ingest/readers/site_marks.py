"""Marks in Markdown of site generators (Hugo, MkDocs, Docusaurus, Jekyll, GitBook) and of Obsidian.

A reader of the site never sees them. What they show is kept (a tab's label, a tooltip's text, the kind of a note);
what they fetch from elsewhere (included files, values of variables) is not there to be read.
"""

import re
from collections.abc import Callable

from embedtune.ingest.readers.directives import LABELS
from embedtune.ingest.readers.fences import lines_of, outside_code, with_code_spans, without_code_spans

# Parameters of a shortcode that a reader sees, in the order of preference.
_SHOWN = ("text", "title", "heading", "label", "caption", "alt", "summary", "name")
# Those whose first value, without a name, is shown.
_FIRST = "heading tab details expand badge button kbd"
_CODE = "highlight code codeblock code-block mermaid terminal"
_COMMENTS = "comment todo"
_NOTES = "alert admonition callout notice hint"
# Those that stand for a value which only the site knows.
_VALUES = "param var version skew latest-version latest-semver env get site-param"
_LIQUID = """
include include_relative raw endraw if elsif else endif for endfor assign capture endcapture unless endunless case
when endcase link post_url tabs endtabs tab endtab endhint content-ref endcontent-ref embed endembed file code
endcode partial render endhighlight comment endcomment swagger endswagger stepper endstepper step endstep columns
endcolumns column endcolumn
"""
_SHOW_FIRST, _ADMONITIONS, _UNKNOWN, _TAGS = (
    frozenset(words.split()) for words in (_FIRST, _NOTES, _VALUES, _LIQUID)
)

# No pattern looks for an end beyond the next beginning: a mark that is never closed stays as it is, takes no text
# with it, and a file full of them takes seconds per megabyte.
_ESCAPED = re.compile(r"\{\{([<%])/\*((?:(?!\{\{).)*?)\*/([>%])\}\}", re.DOTALL)
_LINK = re.compile(r"\]\(\s{0,9}\{\{[<%](?:(?!\{\{|[>%]\}\}).){0,1000}[>%]\}\}[^)\s]{0,300}\s{0,9}\)", re.DOTALL)
_SHORTCODE = re.compile(
    r"\{\{[<%]\s{0,99}(/?)\s{0,9}([\w./-]{1,99})"
    r"((?:\s(?:\"(?:(?![>%]\}\})[^\"])*\"|`[^`]*`|(?!\{\{)[^\"`]){0,1000}?)?)\s{0,99}/?\s{0,99}[>%]\}\}"
)
_PAIRED = (
    r"\{\{[<%]\s*(?:NAMES)\b((?:(?!\{\{)[^\n])*?)[>%]\}\}"
    r"((?:(?!\{\{[<%]\s*(?:NAMES)\b).)*?)\{\{[<%]\s*/\s*(?:NAMES)\s*[>%]\}\}"
)
_CODE_PAIR = re.compile(_PAIRED.replace("NAMES", "|".join(_CODE.split())), re.DOTALL)
_COMMENT_PAIR = re.compile(_PAIRED.replace("NAMES", "|".join(_COMMENTS.split())), re.DOTALL)
_PARAMETER = re.compile(r"(?:([\w-]+)\s*=\s*)?(?:\"((?:[^\"\\]|\\.)*)\"|`([^`]*)`|'([^']*)'|([^\s\"`]+))")

_HIGHLIGHT = re.compile(
    r"\{%-?\s*highlight\s+(\w+)(?!\w)[^%]*%\}\n?((?:(?!\{%-?\s*highlight).)*?)\{%-?\s*endhighlight\s*-?%\}",
    re.DOTALL,
)
_HINT = re.compile(r"\{%-?\s*(?:hint|callout)\s+(?:style|type)=[\"'](\w+)[\"'][^%]*%\}")
_TAB = re.compile(r"\{%-?\s*tab\s+title=[\"']([^\"']*)[\"'][^%]*%\}")
_TAG = re.compile(r"\{%-?\s*(/?[\w-]+)(?![\w-])[^%\n]*%\}")

_NAMES = r"(?:[\w$]+|\*\s+as\s+[\w$]+|\{[\w\s,$]{0,2000}\})"
_IMPORT = re.compile(
    rf"^import[ \t]+(?:{_NAMES}(?:,\s*{_NAMES})?\s+from\s+)?['\"][^'\"\n]+['\"];?[ \t]*$", re.MULTILINE
)
# A line of prose may begin with "export default settings": only what cannot be a sentence is code.
_EXPORT = re.compile(
    r"^export\s+(?:(?:const|let|var)\s+[\w$]+\s*[:=]|(?:default\s+)?(?:async\s+)?function\s*[\w$]*\s*\(|"
    r"default\s+(?:[\w$]+;|[({]))[^\n]*$",
    re.MULTILINE,
)
_JSX_COMMENT = re.compile(r"\{/\*(?:(?!\{/\*).)*?\*/\}", re.DOTALL)
_JSX_TAB = re.compile(r"<TabItem\b[^<>]{0,500}?\blabel=[\"']([^\"'\n]{0,500})[\"'][^<>]{0,500}>")
_JSX = re.compile(
    r"(?<!\w)</?(?=[A-Z]\w*[a-z])[A-Z][\w.]*(?![\w.])(?:\s+[\w-]+(?:=(?:\"[^\"]*\"|'[^']*'|\{(?:[^{}]|\{[^{}]*\})*\}))?)*\s*/?>"
)

_BLOCK = re.compile(r"^( *)(?:!!!|\?\?\?\+?)[ \t]+([\w-]+)((?: +[\w-]+(?![\w-]))*)[ \t]*(?:\"([^\"]*)\"[ \t]*)?$")
_CLASSES = frozenset(("inline", "end", "left", "right", "highlight", "collapsible", "open"))
_TABS = re.compile(r"^( *)===[!+]?[ \t]+\"([^\"]*)\"[ \t]*$")
_AUTODOC = re.compile(r"^( {0,3}):::[ \t]+[A-Za-z_]\w*(?:\.\w+)+[ \t]*$")
_DROPPED_LINE = re.compile(
    r"^[ \t]*(?:(?:-+8<-+|;-+8<-+)(?:[ \t].*)?|\[TOC\]|\[\[_?TOC_?\]\]|\{:[^{}\n]*\})[ \t]*$", re.I | re.M
)
_ATTRIBUTES = re.compile(
    r"(?<=[)\]*_`])\{:?[ ]?[.#][^{}\n]*\}|(?<![ \t])[ \t]+\{:[ ]?[.#][^{}\n]*\}[ \t]*$", re.MULTILINE
)
_DEEPEST = 20  # admonitions inside one another
# Obsidian's links to notes, with or without a text of their own; after a "!" it embeds a note or a picture.
# "[[1, 2]]", "a[[i]]" and a shell's "[[ -f x ]]" are none.
_WIKI_LINK = re.compile(
    r"(?<![\w\]\\])(!?)\[\[(?!_?TOC_?\]\])(?=[^\[\]\n]{0,99}[^\W\d_])(\S[^\[\]|\n]{0,300}?)"
    r"(?:\\?\|([^\[\]\n]{0,300}))?(?<!\s)\]\](?![(\[\]])",
    re.IGNORECASE,
)
_ICON = re.compile(r":(?:material|fontawesome|octicons|simple)-[\w-]+:(?:\{[^{}\n]*\})?")


def without_site_marks(text: str) -> str:
    """Return Markdown with what the marks of site generators show in their place; code stays as it is."""
    if "!!!" in text or "???" in text or "===" in text or ":::" in text:
        text = _without_indented_blocks(text)
    if "{{" in text:
        text = _CODE_PAIR.sub(_as_code, _COMMENT_PAIR.sub("", text))
    if "{%" in text:
        text = _HIGHLIGHT.sub(_as_code, text)
    return outside_code(text, _shown, _code_shown)


def _shown(text: str) -> str:
    text, spans = without_code_spans(text)
    for mark, change in _CHANGES:
        if mark in text:
            text = change(text)
    return with_code_spans(_DROPPED_LINE.sub("", text), [_span_shown(span) for span in spans])


def _span_shown(span: str) -> str:
    """Return a code span with the values that Hugo puts there; other marks in it are what the text is about."""
    return _SHORTCODE.sub(lambda found: "…" if _is_value(_name(found)) else found.group(), span)


def _code_shown(line: str) -> str:
    """Return a line of fenced code as Hugo shows it."""
    return _ESCAPED.sub(r"{{\1\2\3}}", _span_shown(line)) if "{{" in line else line


def _is_value(name: str) -> bool:
    """Return whether a shortcode stands for a value that only the site knows; sites have own ones for versions."""
    return name in _UNKNOWN or "version" in name


def _without_shortcodes(text: str) -> str:
    text = _SHORTCODE.sub(_shortcode, _LINK.sub("](#)", text))
    return _ESCAPED.sub(r"{{\1\2\3}}", text)


def _shortcode(match: re.Match[str]) -> str:
    """Return what a reader sees of one Hugo shortcode."""
    closing, _, parameters = match.groups()
    name = _name(match)
    named, bare = _parameters(parameters)
    kind = name
    if name in _ADMONITIONS:
        kind = (
            named.get("type") or named.get("color") or named.get("icon") or (bare[0].lower() if bare else "note")
        )
    if closing:
        return "\n\n" if kind in LABELS or name in _ADMONITIONS else ""
    if kind in LABELS or name in _ADMONITIONS:
        return f"\n\n{LABELS.get(kind, '')} {named.get('title', '')}".rstrip() + " "
    if _is_value(name):
        return "…"
    if name == "glossary_tooltip":
        return named.get("text") or named.get("term_id", "")
    shown = next((named[key] for key in _SHOWN if named.get(key)), "")
    shown = shown or (bare[0] if bare and name in _SHOW_FIRST else "")
    return f"\n\n{shown}\n\n" if shown and name in ("tab", "details", "expand") else shown


def _name(match: re.Match[str]) -> str:
    return match.group(2).lower().rsplit("/", 1)[-1]


def _parameters(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the named and the bare parameters of a shortcode."""
    named: dict[str, str] = {}
    bare: list[str] = []
    for name, *values in _PARAMETER.findall(text):
        value = next((one for one in values if one), "").strip()
        if name:
            named[name.lower()] = value
        elif value:
            bare.append(value)
    return named, bare


def _as_code(match: re.Match[str]) -> str:
    content = match.group(2).strip("\n")
    return f"\n~~~~\n{content}\n~~~~\n"


def _without_liquid(text: str) -> str:
    text = _HINT.sub(lambda found: f"\n\n{LABELS.get(found.group(1).lower(), '')} ", text)
    text = _TAB.sub(r"\n\n\1\n\n", text)
    return _TAG.sub(lambda found: "" if found.group(1).lower().lstrip("/") in _TAGS else found.group(), text)


def _without_jsx(text: str) -> str:
    text = _JSX_COMMENT.sub("", text)
    return _JSX.sub("", _JSX_TAB.sub(r"\n\n\1\n\n", text))


def _without_wiki_links(text: str) -> str:
    return _WIKI_LINK.sub(
        lambda found: "" if found[1] else found[3] or found[2].replace("#", " > ").strip(" >"), text
    )


def _without_modules(text: str) -> str:
    return _EXPORT.sub("", _IMPORT.sub("", text))


_CHANGES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("{{", _without_shortcodes),
    ("{%", _without_liquid),
    ("import ", _without_modules),
    ("<", _without_jsx),
    ("{/*", _without_jsx),
    ("{", lambda text: _ATTRIBUTES.sub("", text)),
    (":", lambda text: _ICON.sub("", text)),
    ("[[", _without_wiki_links),
)


def _without_indented_blocks(text: str, depth: int = 0) -> str:
    """Rewrite the admonitions and tabs of MkDocs, whose content is indented, and drop its autodoc blocks."""
    lines = list(lines_of(text))
    out: list[str] = []
    place = 0
    while place < len(lines):
        line, is_code = lines[place]
        place += 1
        match = None if is_code else _BLOCK.match(line) or _TABS.match(line) or _AUTODOC.match(line)
        if match is None:
            out.append(line)
            continue
        indent, end = len(match.group(1)), place
        while end < len(lines) and (not lines[end][0].strip() or _indent(lines[end][0]) >= indent + 4):
            end += 1
        content = lines[place:end]
        if match.re is _BLOCK and (depth > _DEEPEST or not any(one.strip() for one, _ in content)):
            out.append(line)
            continue
        body = "\n".join(one[indent + 4 :] if one.strip() else "" for one, _ in content)
        place = end
        if match.re is not _AUTODOC:
            inner = f"{_label(match)}\n\n{_without_indented_blocks(body, depth + 1)}\n"
            out += [(" " * indent + one if one else one) for one in inner.split("\n")]
    return "\n".join(out)


def _label(match: re.Match[str]) -> str:
    if match.re is _TABS:
        return match.group(2)
    kind = LABELS.get(match.group(2).lower(), "")
    # MkDocs takes words that are not quoted for classes; who forgot the quotation marks meant a title.
    words = [word for word in match.group(3).split() if word.lower() not in _CLASSES]
    return f"{kind} {match.group(4) or ' '.join(words)}".strip()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
