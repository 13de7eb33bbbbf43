"""The directives and roles of Sphinx and MyST, which reStructuredText and Markdown share."""

import re

# Directives whose content is code.
_CODE = """
code code-block sourcecode parsed-literal code-cell doctest testcode testoutput prompt literal productionlist
mermaid graphviz uml plantuml math highlight-code ipython terminal console
"""
# Directives that refer to something else or control the rendering: none of their content is text of the document.
_DROPPED = """
toctree contents include literalinclude raw index highlight meta sectnum section-numbering tabularcolumns
currentmodule module image mdinclude bibliography iframe video youtube sidebar-links target-notes header footer
title default-domain keywords sectionauthor codeauthor button-link button-ref autosummary automodule autoclass
autofunction automethod rst-class cssclass embed tags
"""
# Directives whose argument is an option or an address, not text.
_BARE = "grid grid-item tab-set figure only ifconfig container class div"
# Roles in which angle brackets are text.
_LITERAL_ROLES = "code literal math samp file command kbd option program envvar guilabel menuselection sub sup"
_ADMONITIONS = "attention caution danger error hint important note tip warning info success"

CODE = frozenset(_CODE.split())
DROPPED = frozenset(_DROPPED.split())
ARGUMENT_IS_NO_TEXT = frozenset(_BARE.split())
# Directives whose name means something to the reader.
LABELS = {
    **{name: f"{name.capitalize()}:" for name in _ADMONITIONS.split()},
    "seealso": "See also:",
    "versionadded": "Added in version",
    "versionchanged": "Changed in version",
    "deprecated": "Deprecated since version",
}
_VERBATIM = frozenset(_LITERAL_ROLES.split())
_TARGET = re.compile(r"\s*<[^<>]*>$", re.DOTALL)


def role_text(name: str, content: str) -> str:
    """Return what a reader sees of a role: the title of `title <target>`, `~a.b` and `!a` without the mark."""
    if name.lower() in _VERBATIM:
        return content
    shown = _TARGET.sub("", content).strip()
    return (shown or content.strip("<> ")).lstrip("~!")
