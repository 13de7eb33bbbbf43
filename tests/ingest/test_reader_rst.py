from pathlib import Path

import pytest

from embedtune.ingest.blocks import Block
from embedtune.ingest.readers.rst import rst_blocks


def test_structure() -> None:
    text = (
        "=====\nSheet\n=====\n\nIntro ``x`` and `link <http://a.b>`_.\n\nPart\n====\n\n"
        "#. One.\n#. Two.\n\n   - deep\n\nterm\n  meaning\n\n::\n\n   code\n\n+---+---+\n| a | b |\n+---+---+\n"
    )
    assert rst_blocks(text) == [
        Block("heading", "Sheet", 1),
        Block("paragraph", "Intro x and link."),
        Block("heading", "Part", 2),
        Block("list", "1. One."),
        Block("list", "2. Two."),
        Block("list", "- deep", 1),
        Block("list", "term: meaning"),
        Block("code", "code"),
        Block("table", "a | b"),
    ]


def test_sphinx_directives_become_text_whatever_their_options() -> None:
    text = (
        ".. warning::\n\n   Hot *pipe*.\n\n.. code-block:: sh\n   :emphasize-lines: 1\n\n   $ ls\n\n"
        ".. tab-item:: Linux\n   :sync: a\n\n   Use apt.\n\n.. toctree::\n\n   a\n   b\n\n.. versionadded:: 2.1\n"
        "   New flag.\n\n.. py:function:: f(x)\n\n   Doubles x.\n"
    )
    assert rst_blocks(text) == [
        Block("paragraph", "Warning: Hot pipe."),
        Block("code", "$ ls"),
        Block("paragraph", "Linux"),
        Block("paragraph", "Use apt."),
        Block("paragraph", "Added in version 2.1\nNew flag."),
        Block("paragraph", "f(x)"),
        Block("paragraph", "Doubles x."),
    ]


def test_roles_become_what_a_reader_sees() -> None:
    text = "See :ref:`the gap <gap>`, :doc:`/a/b`, :py:class:`~a.B`, :file:`/etc/<name>`, :sup:`2` and |unknown|."
    assert rst_blocks(text) == [Block("paragraph", "See the gap, /a/b, a.B, /etc/<name>, 2 and unknown.")]


def test_substitutions_are_resolved() -> None:
    assert rst_blocks(".. |v| replace:: 1.2\n\nUse |v|.") == [Block("paragraph", "Use 1.2.")]


@pytest.mark.parametrize("directive", ["include", "literalinclude", "raw:: html\n   :file"])
def test_no_other_file_is_read(directive: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("TOPSECRET")
    text = f"Before.\n\n.. {directive}:: {secret}\n\n.. csv-table:: T\n   :file: {secret}\n\nAfter.\n"
    shown = " ".join(block.text for block in rst_blocks(text))
    assert "TOPSECRET" not in shown
    assert shown.startswith("Before.")
    assert shown.endswith("After.")


def test_raw_output_is_dropped() -> None:
    assert rst_blocks(".. raw:: html\n\n   <script>x</script>\n\nText.") == [Block("paragraph", "Text.")]


def test_broken_markup_keeps_its_text_and_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    text = "Title\n==\n\nAn *open and `half.\n\n.. list-table::\n\n   * - a\n     - b\n   * - c\n"
    shown = " ".join(block.text for block in rst_blocks(text))
    assert "open and" in shown
    assert "- a" in shown
    assert "list-table" not in shown
    assert capfd.readouterr() == ("", "")
