"""The questions on docs/eval-sets.md become sets, with the command on that page."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from embedtune.cli import cli
from embedtune.core.retrieval.beir import read_retrieval_set
from tests.evaluate.test_quoted_set import write_chunks
from tests.support.markdown import ROOT, blocks

EXAMPLES = [block.text for block in blocks(ROOT / "docs" / "eval-sets.md") if block.language == "json"]


@pytest.mark.parametrize(
    ("example", "judged"),
    [
        (EXAMPLES[0], [{"c0": 1}, {"c3": 1}]),
        (EXAMPLES[1], [{"c0": 1, "c1": 1, "c2": 1}, {"c3": 1, "c0": 1, "c1": 1, "c2": 1}]),
    ],
    ids=["quotes", "documents"],
)
def test_the_documented_questions_become_a_set(example: str, judged: list[dict[str, int]], tmp_path: Path) -> None:
    chunks, questions, output = write_chunks(tmp_path / "chunks"), tmp_path / "questions.jsonl", tmp_path / "ours"
    questions.write_text(example)
    done = CliRunner().invoke(cli, ["eval-set", str(questions), "--chunks", str(chunks), "--output", str(output)])
    assert done.exit_code == 0, done.output
    data = read_retrieval_set(output, "test")
    assert [data.qrels[query.id] for query in data.queries] == judged
