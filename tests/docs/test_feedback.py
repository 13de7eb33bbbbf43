"""The loop on docs/feedback.md: the gateway records the documented choice, and it becomes an evaluation set."""

import json
import shlex
from pathlib import Path

import httpx
import pytest
import yaml
from click.testing import CliRunner

from embedtune.cli import cli
from embedtune.core.config.load import load_config
from embedtune.core.retrieval.beir import read_retrieval_set
from embedtune.sample import HANDBOOK
from embedtune.serve.gateway.feedback.log import FeedbackOptions
from tests.evaluate import test_quoted_set
from tests.serve.gateway.test_feedback import options
from tests.support.gateway_server import serving
from tests.support.markdown import ROOT, blocks

PAGE = ROOT / "docs" / "feedback.md"
BLOCKS = [block.text for block in blocks(PAGE)]


def one_that_starts_with(words: str) -> str:
    (text,) = (text for text in BLOCKS if text.startswith(words))
    return text


def test_the_documented_choice_becomes_a_question_of_the_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curl = shlex.split(one_that_starts_with("curl"))
    body = json.loads(curl[curl.index("-d") + 1])
    place = tmp_path / "feedback"
    with serving(options(tmp_path, feedback=FeedbackOptions(place))) as url:
        assert curl[2].endswith("/v1/feedback")
        assert httpx.post(f"{url}/v1/feedback", json=body).status_code == 202
    for path in body["shown"]:
        assert (HANDBOOK / path).is_file()
    monkeypatch.setattr(
        test_quoted_set, "DOCUMENTS", {path: [f"{path} has one passage."] for path in body["shown"]}
    )
    test_quoted_set.write_chunks(tmp_path / "work" / "chunks")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, shlex.split(one_that_starts_with("embedtune eval-set"))[1:])
    assert done.exit_code == 0, done.output
    data = read_retrieval_set(tmp_path / "asked", "test")
    assert [(query.text, data.qrels[query.id]) for query in data.queries] == [(body["query"], {"c0": 1})]


def test_the_documented_settings_are_valid() -> None:
    given = yaml.safe_load(one_that_starts_with("split:"))
    pairs = load_config(
        "minilm", [f"split.human_pairs={json.dumps(given['split']['human_pairs'])}"]
    ).split.human_pairs
    assert [(one.kind, one.weight, one.min_choices) for one in pairs] == [
        ("feedback", 2, 2),
        ("questions", 1, 1),
        ("faq", 1, 1),
    ]
