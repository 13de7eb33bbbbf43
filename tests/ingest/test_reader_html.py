import pytest

from embedtune.ingest.blocks import Block
from embedtune.ingest.readers.html import read

PAGE = """<html><head><title>Site | Drill</title><style>p{}</style></head><body>
<header><a>Home</a></header><nav><ul><li>Menu</li></ul></nav>
<main><article><header><h1>Drill<a>&para;</a></h1></header>
<p>Trust the <b>gas</b> heads.<script>x()</script></p>
<ol><li>Walk.<ul><li>Slowly</li></ul></li><li><p>Meet.</p></li></ol>
<pre>a
  b</pre>
<table><tr><th>k</th><th>v</th></tr><tr><td>1</td><td>2<br>3</td></tr></table>
<div>Loose text</div></article></main>
<footer>Contact</footer></body></html>"""


def test_main_content_without_page_furniture() -> None:
    assert read(PAGE.encode()) == [
        Block("heading", "Drill", 1),
        Block("paragraph", "Trust the gas heads."),
        Block("list", "1. Walk."),
        Block("list", "- Slowly", 1),
        Block("list", "2. Meet."),
        Block("code", "a\n  b"),
        Block("table", "k | v\n1 | 2 3"),
        Block("paragraph", "Loose text"),
    ]


def test_title_element_stands_in_for_a_missing_heading() -> None:
    page = b"<title>Drill</title><body><p>Text.</p></body>"
    assert read(page) == [Block("heading", "Drill", 1), Block("paragraph", "Text.")]


def test_header_of_an_inline_xbrl_report_is_not_text() -> None:
    facts = '<div style="display:none"><ix:header><ix:hidden>0000001 us-gaap:Member</ix:hidden></ix:header></div>'
    page = f"<body>{facts}<p>Sales were <ix:nonFraction>12</ix:nonFraction> million.</p></body>"
    assert read(page.encode()) == [Block("paragraph", "Sales were 12 million.")]


def test_declared_encoding_is_used() -> None:
    page = '<meta charset="iso-8859-2"><p>\u0141\u00f3d\u017a</p>'.encode("iso-8859-2")
    assert read(page) == [Block("paragraph", "\u0141\u00f3d\u017a")]


def test_tables_for_layout_are_read_as_text() -> None:
    page = b"<table><tr><td><ul><li>a</li></ul></td><td>b</td></tr></table>"
    assert read(page) == [Block("list", "- a"), Block("paragraph", "b")]


def test_hidden_parts_are_left_out() -> None:
    assert read(b"<p hidden>a</p><p aria-hidden=true>b</p><div role=navigation>c</div><p>d</p>") == [
        Block("paragraph", "d")
    ]


def test_what_is_easily_lost_is_read() -> None:
    page = b"""<body><form><p>In a form.</p></form><pre>a<br>b</pre>
    <table><caption>Torques</caption><tr><td>M8</td><td>10<sup>3</sup></td></tr></table>
    <button>Why does it stop?</button><button>Copy</button>
    <ul><div><li>wrapped</li></div><ul><li>inner</li></ul></ul>
    <p>H<sub>2</sub>O, 5 &middot; 10<sup>-3</sup>, see note<sup>1</sup></p></body>"""
    assert [block.text for block in read(page)] == [
        "In a form.",
        "a\nb",
        "Torques",
        "M8 | 10^3",
        "Why does it stop?",
        "- wrapped",
        "- inner",
        "H2O, 5 \u00b7 10^-3, see note1",
    ]


def test_an_aside_is_a_note_inside_an_article_and_furniture_outside() -> None:
    page = b"<aside>Links to other pages</aside><article><aside><p>Mind the step.</p></aside></article>"
    assert read(page) == [Block("paragraph", "Mind the step.")]


def test_footnote_marks_are_not_glued_to_words_and_numbers() -> None:
    page = b"<p>Close it at 25<sup><a href='#f1'>1</a></sup> bar, 10<sup>3</sup> times.</p>"
    assert [block.text for block in read(page)] == ["Close it at 25 [1] bar, 10^3 times."]


@pytest.mark.parametrize(
    "mark",
    [
        '<a epub:type="noteref" href="#f1">1</a>',
        '<a role="doc-noteref" href="#f1"><sup>1</sup></a>',
        '<sup><a epub:type="noteref" href="#f1">[1]</a></sup>',
    ],
)
def test_the_mark_of_a_note_stands_apart_from_its_sentence(mark: str) -> None:
    page = f"<p>Close it at 25 bar.{mark} Then wait.</p>"
    assert [block.text for block in read(page.encode())] == ["Close it at 25 bar. [1] Then wait."]


def test_numbers_of_a_list_are_those_that_are_shown() -> None:
    page = b"<ol start=5><li>five<li value=9>nine<li>ten</ol><ol start=x><li>one</ol>"
    assert [block.text for block in read(page)] == ["5. five", "9. nine", "10. ten", "1. one"]


@pytest.mark.parametrize("mark", ['epub:type="footnote"', 'role="doc-endnote"'])
def test_the_notes_of_a_book_are_text(mark):
    page = f"<body><h1>One</h1><p>The card is blue.</p><aside {mark}>Since 1994.</aside><aside>Menu</aside></body>"
    text = " ".join(block.text for block in read(page.encode()))
    assert "Since 1994." in text
    assert "Menu" not in text


def test_pages_in_xhtml_are_read_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    page = b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><body><p>Text.</p></body></html>"
    assert read(page) == [Block("paragraph", "Text.")]
    assert not list(recwarn)
