"""Walks the XML of Word documents and enters every container of text, those that python-docx leaves out too."""

from collections.abc import Callable, Iterator
from typing import Any

from embedtune.ingest.readers.formulas import fraction, index, limits, power, root

Element = Any  # of lxml, which is not typed
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
# What was deleted or moved away, properties, field codes; text boxes are read by themselves.
_NO_TEXT = """
del moveFrom delText instrText txbxContent pPr rPr tblPr trPr tcPr sdtPr sdtEndPr sectPr rt
accPr barPr boxPr borderBoxPr ctrlPr dPr eqArrPr fPr funcPr groupChrPr limLowPr limUppPr mPr naryPr phantPr radPr
sPrePr sSubPr sSubSupPr sSupPr
"""
_LEFT_OUT = frozenset(_NO_TEXT.split())


def name(element: Element) -> str:
    """Return the name of an element without its namespace; comments have none."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def attribute(element: Element, key: str) -> str:
    """Return an attribute in Word's namespace, an empty string if it is missing."""
    return next((value for full, value in element.attrib.items() if full.rpartition("}")[2] == key), "")


def _at(element: Element, outer: str, inner: str) -> Iterator[Element]:
    """Yield the properties of an element with this path of names."""
    yield from (node for child in element if name(child) == outer for node in child if name(node) == inner)


def outline(element: Element) -> int | None:
    """Return the level in the outline that a paragraph or a style has by itself, from 0; None: it says nothing."""
    value = next((attribute(node, "val") for node in _at(element, "pPr", "outlineLvl")), "")
    return int(value) if value.isdecimal() else None


def parts(element: Element, wanted: tuple[str, ...]) -> Iterator[Element]:
    """Yield the outermost descendants with these names: through content controls, tracked changes and the like."""
    for child in children(element):
        if name(child) in wanted:
            yield child
        else:
            yield from parts(child, wanted)


def children(element: Element) -> Iterator[Element]:
    """Yield the children that hold text; of alternatives only the first."""
    if name(element) == "AlternateContent":
        yield from list(element)[:1]
        return
    for child in element:
        if name(child) not in _LEFT_OUT and name(child):
            yield child


def text_of(paragraph: Element) -> str:
    """Return the text of a paragraph, equations included; an exponent after a digit is marked."""
    pieces: list[str] = []
    _collect(paragraph, pieces)
    return "".join(pieces)


def _collect(element: Element, pieces: list[str]) -> None:
    for child in children(element):
        kind = name(child)
        if kind == "t":
            text = child.text or ""
            raised = any(attribute(node, "val") == "superscript" for node in _at(element, "rPr", "vertAlign"))
            if raised and text[:1].isdigit() and "".join(pieces)[-1:].isdigit():
                pieces.append("^")
            pieces.append(text)
        elif kind == "oMath":
            pieces.append(formula_text(child))
        elif kind in _SIGNS and name(element) == "r":
            pieces.append(_SIGNS[kind])
        else:
            _collect(child, pieces)


# The elements of OMML whose parts have names, with what they mean.
_PLACED: dict[str, Callable[[Callable[[str], str]], str]] = {
    "f": lambda of: fraction(of("num"), of("den")),
    "rad": lambda of: root(of("e"), of("deg")),
    **dict.fromkeys(("sSup", "sSub", "sSubSup", "sPre"), lambda of: limits(of("e"), of("sub"), of("sup"))),
    "limLow": lambda of: index(of("e"), of("lim")),
    "limUpp": lambda of: power(of("e"), of("lim")),
    "func": lambda of: f"{of('fName')} {of('e')}",
}


def formula_text(element: Element) -> str:
    """Return the text of an element of OMML (ISO/IEC 29500-1, 22.1), in which Word writes its equations."""
    part = {name(child): child for child in children(element)}

    def of(key: str) -> str:
        return formula_text(part[key]) if key in part else ""

    kind = name(element)
    if kind == "t":
        return str(element.text or "")
    if kind in _PLACED:
        return _PLACED[kind](of)
    if kind == "nary":
        return f"{limits(_property(element, 'chr', '∫'), of('sub'), of('sup'))} {of('e')}"
    inner = list(map(formula_text, children(element)))
    if kind == "d":
        between = _property(element, "sepChr", "|").join(inner)
        return _property(element, "begChr", "(") + between + _property(element, "endChr", ")")
    return " ; ".join(filter(None, inner)) if kind in ("mr", "eqArr") else "".join(inner)


def _property(element: Element, key: str, otherwise: str) -> str:
    """Return a property of an element of OMML, in its first child; one without a value is empty."""
    found = next(iter(_at(element, f"{name(element)}Pr", key)), None)
    return otherwise if found is None else attribute(found, "val")


def boxes(element: Element) -> Iterator[Element]:
    """Yield the text boxes that hang on an element, each once though Word stores them in two forms."""
    for child in element:
        if name(child) == "txbxContent":
            yield child
        elif name(child) not in ("del", "moveFrom") and name(child):
            yield from boxes(next(iter(child)) if name(child) == "AlternateContent" and len(child) else child)


def references(element: Element) -> list[tuple[str, str]]:
    """Return the footnotes and endnotes that an element refers to: their kind and id."""
    nodes = parts(element, ("footnoteReference", "endnoteReference"))
    return [(name(node).removesuffix("Reference"), attribute(node, "id")) for node in nodes]


def rows(table: Element) -> Iterator[list[Element]]:
    """Yield the cells of each row that was not deleted."""
    for row in parts(table, ("tr",)):
        if not list(_at(row, "trPr", "del")):
            yield list(parts(row, ("tc",)))


def continues(cell: Element) -> bool:
    """Tell whether a cell is the lower part of one that is merged over several rows."""
    return any(attribute(node, "val") in ("", "continue") for node in _at(cell, "tcPr", "vMerge"))
