from embedtune.ingest.blocks import Block
from embedtune.ingest.readers.markdown import markdown_blocks, read


def test_structure() -> None:
    text = "# Pump\n\nIt *runs* at [2 bar](x.md)\nin `mode`.\n\n```sh\n$ ls\n```\n\n"
    text += "| a | b |\n|---|---|\n| 1 | **2** |\n"
    assert markdown_blocks(text) == [
        Block("heading", "Pump", 1),
        Block("paragraph", "It runs at 2 bar\nin mode."),
        Block("code", "$ ls\n"),
        Block("table", "a | b\n1 | 2"),
    ]


def test_list_items_keep_marker_and_depth_with_code_between_them() -> None:
    text = "1. Open.\n\n   ```\n   go\n   ```\n\n   Wait.\n2. Close.\n   - a\n"
    assert markdown_blocks(text) == [
        Block("list", "1. Open."),
        Block("code", "go\n"),
        Block("list", "Wait."),
        Block("list", "2. Close."),
        Block("list", "- a", 1),
    ]


def test_front_matter_gives_the_title() -> None:
    assert read(b"---\ntitle: Alerting\nrank: 1\n---\n\n## Why\n") == [
        Block("heading", "Alerting", 1),
        Block("heading", "Why", 2),
    ]
    assert read(b"---\n: [broken\n---\ntext\n") == [Block("paragraph", "text")]


def test_html_in_markdown_becomes_text() -> None:
    text = "<!-- no -->\n\n<div><h2>Setup</h2><p>Do <b>it</b>.</p></div>\n\nA <br> b <kbd>c</kbd>\n"
    assert markdown_blocks(text) == [
        Block("heading", "Setup", 2),
        Block("paragraph", "Do it."),
        Block("paragraph", "A \n b c"),
    ]


def test_myst_directives_and_roles_become_text() -> None:
    text = (
        "(target)=\n# Start {#id}\n\n```{note}\n:class: x\nMind the {ref}`gap <the-gap>`.\n```\n\n"
        ":::{tip}\nRest.\n:::\n\n```{toctree}\na\n```\n\n```{eval-rst}\n.. note:: Old.\n```\n\n"
        "```{code-block} sh\n:caption: x\n$ ls\n```\n\n> [!WARNING]\n> Hot.\n"
    )
    assert markdown_blocks(text) == [
        Block("heading", "Start", 1),
        Block("paragraph", "Note:\nMind the gap."),
        Block("paragraph", "Tip:\nRest."),
        Block("paragraph", "Note: Old."),
        Block("code", "$ ls\n"),
        Block("paragraph", "Warning: Hot."),
    ]


def test_percent_signs_and_colons_in_code_and_prose_are_text() -> None:
    fences = "```python\n%timeit f()\n::: x\n(a)=\n```\n\n~~~\n% comment\n```\n~~~\n"
    blocks = read(f"{fences}\n% of all lots are kept.\n".encode())
    assert [(block.kind, block.text.strip()) for block in blocks] == [
        ("code", "%timeit f()\n::: x\n(a)="),
        ("code", "% comment\n```"),
        ("paragraph", "% of all lots are kept."),
    ]


def test_percent_lines_are_comments_where_the_text_is_myst() -> None:
    text = "(start)=\n% a comment\n\n:::{note}\nKeep dry.\n\n```text\n% kept\n```\n\n% another\n:::\n\nEnd.\n"
    blocks = read(text.encode())
    assert [" ".join(block.text.split()) for block in blocks] == ["Note: Keep dry.", "% kept", "End."]


def test_front_matter_of_other_kinds_and_text_that_only_looks_like_it() -> None:
    assert read(b"+++\ntitle = 'Pump'\n+++\nText") == [Block("heading", "Pump", 1), Block("paragraph", "Text")]
    assert read(b"---\ntitle: Pump: how to\n---\nText")[0] == Block("heading", "Pump: how to", 1)
    assert "Not a key" in read(b"---\nNot a key\n\n---\nText")[0].text


def test_a_raised_number_after_a_digit_is_an_exponent() -> None:
    assert read(b"About 10<sup>6</sup> cycles.") == [Block("paragraph", "About 10^6 cycles.")]
