"""Formulas: a power is not a longer name, and a fraction is not a product."""

import io
from collections.abc import Callable

import pytest
from pptx import Presentation
from pptx.oxml import parse_xml
from pptx.util import Inches

from embedtune.ingest.readers import docx, html, pptx
from tests.ingest.test_reader_docx import with_body

MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"
OMML = {
    "fraction": ("<m:f><m:num>{a+b}</m:num><m:den>{2}</m:den></m:f>", "(a+b)/2"),
    "power": ("<m:sSup><m:e>{v}</m:e><m:sup>{2}</m:sup></m:sSup>", "v^2"),
    "power of a sum": ("<m:sSup><m:e>{e}</m:e><m:sup>{n+1}</m:sup></m:sSup>", "e^(n+1)"),
    "index": ("<m:sSub><m:e>{x}</m:e><m:sub>{i}</m:sub></m:sSub>", "x_i"),
    "both": ("<m:sSubSup><m:e>{x}</m:e><m:sub>{i}</m:sub><m:sup>{2}</m:sup></m:sSubSup>", "x_i^2"),
    "brackets": ("<m:d><m:dPr><m:begChr m:val='['/><m:endChr m:val=']'/></m:dPr><m:e>{a}</m:e></m:d>", "[a]"),
    "parentheses": ("<m:d><m:e>{a}</m:e></m:d>", "(a)"),
    "square root": ("<m:rad><m:radPr><m:degHide/></m:radPr><m:deg/><m:e>{2gh}</m:e></m:rad>", "√(2gh)"),
    "root": ("<m:rad><m:deg>{3}</m:deg><m:e>{V}</m:e></m:rad>", "V^(1/3)"),
    "sum": (
        "<m:nary><m:naryPr><m:chr m:val='∑'/></m:naryPr><m:sub>{i=1}</m:sub><m:sup>{n}</m:sup>"
        "<m:e>{x}</m:e></m:nary>",
        "∑_(i=1)^n x",
    ),
    "integral": ("<m:nary><m:sub>{a}</m:sub><m:sup>{b}</m:sup><m:e>{f}</m:e></m:nary>", "∫_a^b f"),
    "function": ("<m:func><m:fName>{sin}</m:fName><m:e>{x}</m:e></m:func>", "sin x"),
    "matrix": ("<m:m><m:mr><m:e>{a}</m:e><m:e>{b}</m:e></m:mr></m:m>", "a ; b"),
}
MATHML = {
    "fraction": ("<mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></mfrac>", "(a+b)/2"),
    "power": ("<mi>A</mi><msup><mi>v</mi><mn>2</mn></msup>", "Av^2"),
    "degrees": ("<msup><mn>80</mn><mo>°</mo></msup>", "80°"),
    "both": ("<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>", "x_i^2"),
    "square root": ("<msqrt><mn>2</mn><mi>g</mi></msqrt>", "√(2g)"),
    "root": ("<mroot><mi>V</mi><mn>3</mn></mroot>", "V^(1/3)"),
    "sum": ("<munderover><mo>∑</mo><mi>i</mi><mi>n</mi></munderover><mi>x</mi>", "∑_i^n x"),
    "TeX, which repeats it": (
        "<semantics><msup><mi>v</mi><mn>2</mn></msup><annotation encoding='application/x-tex'>v^2</annotation>"
        "</semantics>",
        "v^2",
    ),
    "signs that cannot be seen": ("<mi>sin</mi><mo>\u2061</mo><mi>x</mi><mo>\u2062</mo><mi>y</mi>", "sin xy"),
}


def omml(form: str) -> str:
    runs = form.replace("{", "<m:r><m:rPr><m:sty/></m:rPr><m:t>").replace("}", "</m:t></m:r>")
    return f"<m:oMath xmlns:m='{MATH}'>{runs}</m:oMath>"


def in_word(form: str) -> str:
    return docx.read(with_body(f"<w:p>{omml(form)}</w:p>"))[0].text


def on_a_slide(form: str) -> str:
    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    box = slide.shapes.add_textbox(Inches(1), Inches(1), Inches(4), Inches(1))
    box.text_frame.paragraphs[0]._p.append(parse_xml(omml(form)))
    stream = io.BytesIO()
    deck.save(stream)
    return pptx.read(stream.getvalue())[0].text


@pytest.mark.parametrize("read", [in_word, on_a_slide])
@pytest.mark.parametrize("name", OMML)
def test_equations_of_office(name: str, read: Callable[[str], str]) -> None:
    form, expected = OMML[name]
    assert read(form) == expected


@pytest.mark.parametrize("name", MATHML)
def test_formulas_of_web_pages(name: str) -> None:
    form, expected = MATHML[name]
    (block,) = html.read(f"<p>Let <math>{form}</math>.</p>".encode())
    assert block.text == f"Let {expected}."


def test_a_formula_with_a_damaged_power_is_still_read() -> None:
    assert html.read(b"<p><math><msup><mi>v</mi></msup><mi>w</mi></math></p>")[0].text == "vw"
