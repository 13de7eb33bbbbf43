"""Searching a work directory: rankings are exact, indexes are reused, and changes of rank are shown."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from embedtune.cli import cli, views
from embedtune.core.config.load import parse_config
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.progress import SilentProgress
from embedtune.core.records.base import read_record
from embedtune.core.records.playground import PlaygroundRecord
from embedtune.core.retrieval.bm25 import BM25Index
from embedtune.core.retrieval.hybrid import fused
from embedtune.core.retrieval.side_by_side import Hit, compare
from embedtune.core.secrets import Secrets
from embedtune.local.search_index import SearchIndex, example_questions, open_index, write_playground
from tests.support.searchable_work import PASSAGES, make_searchable_work
from tests.support.tiny_model import tiny_contract

CPU = RuntimeSettings(device="cpu")
CONFIG = parse_config({"contract": tiny_contract(Path("unused")).model_dump(), "runtime": {"device": "cpu"}})


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_searchable_work(tmp_path_factory.mktemp("search"))


def opened(work: Path, *models: str) -> SearchIndex:
    return open_index(work, models or ("base", "tuned"), CONFIG, Secrets({}), SilentProgress())


def test_each_model_ranks_by_the_inner_product_of_its_own_vectors(work: Path) -> None:
    found = opened(work).search("how do I clean the kiln?", 5)
    for model, path in (("base", work / "base"), ("tuned", work / "model")):
        encoder = TorchEncoder(path, tiny_contract(work / "base", (32, 16)), CPU)
        passages = encoder.encode_passages([record.text for record in PASSAGES], SilentProgress())
        (query,) = encoder.encode_queries(["how do I clean the kiln?"], SilentProgress())
        order = np.argsort(-(passages @ query))[:5]
        assert [hit.id for hit in found[model]] == [PASSAGES[place].id for place in order]
        np.testing.assert_allclose([hit.score for hit in found[model]], (passages @ query)[order], atol=1e-6)
        assert [hit.rank for hit in found[model]] == [1, 2, 3, 4, 5]
        assert found[model][0].text == PASSAGES[order[0]].text


def test_each_hit_contains_its_rank_with_the_other_model(work: Path) -> None:
    found = opened(work).search("the hoist", len(PASSAGES))
    ranks = {model: {hit.id: hit.rank for hit in hits} for model, hits in found.items()}
    assert ranks["base"] != ranks["tuned"]
    assert all(hit.other_rank == ranks["tuned"][hit.id] for hit in found["base"])
    assert all(hit.other_rank == ranks["base"][hit.id] for hit in found["tuned"])


def test_a_hybrid_search_joins_each_model_with_bm25(work: Path) -> None:
    question = "the hoist"
    index = opened(work)
    alone, joined = index.search(question, 100), index.search(question, 100, hybrid=True)
    places, scores = (found[0].tolist() for found in BM25Index([p.text for p in PASSAGES]).search([question], 100))
    words = {PASSAGES[place].id: score for place, score in zip(places, scores, strict=True) if score > 0}
    for model, hits in joined.items():
        expected = fused({hit.id: hit.score for hit in alone[model]}, words)
        assert [hit.score for hit in hits] == pytest.approx(sorted(expected.values(), reverse=True)[: len(hits)])
        assert {hit.id: hit.score for hit in hits} == pytest.approx({hit.id: expected[hit.id] for hit in hits})


def test_the_other_rank_is_none_beyond_the_depth_and_for_a_single_model() -> None:
    passages = PASSAGES[:3]
    both = compare({"base": [(0, 0.9), (1, 0.8)], "tuned": [(2, 0.7), (0, 0.6)]}, passages, 1)
    assert both == {
        "base": [Hit(1, 2, 0.9, "markup", passages[0].text)],
        "tuned": [Hit(1, None, 0.7, passages[2].id, passages[2].text)],
    }
    assert compare({"tuned": [(1, 0.8)]}, passages, 5)["tuned"] == [Hit(1, None, 0.8, "p0", passages[1].text)]


def test_indexes_are_reused_until_passages_or_model_change(tmp_path: Path, work: Path) -> None:
    copy = tmp_path / "work"
    shutil.copytree(work, copy, ignore=shutil.ignore_patterns("index", "cache"))

    def written(name: str) -> int:
        return (copy / "index" / f"{name}.faiss").stat().st_mtime_ns

    opened(copy)
    times = {name: written(name) for name in ("base", "tuned")}
    opened(copy)
    assert {name: written(name) for name in times} == times
    make_searchable_work(copy, PASSAGES[:20])
    assert len(opened(copy, "tuned").search("the hoist", 50)["tuned"]) == 20
    assert written("tuned") > times["tuned"]
    assert written("base") == times["base"]  # it was not opened
    assert len(opened(copy).search("the hoist", 50)["base"]) == 20


def test_a_single_model_can_be_searched(work: Path) -> None:
    assert set(opened(work, "tuned").search("the hoist", 3)) == {"tuned"}


def test_a_work_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="dataset"):
        opened(tmp_path)


def test_examples_are_short_test_questions(work: Path) -> None:
    assert example_questions(work / "dataset") == ["how do I clean the kiln?", "hoist chain"]


def test_a_playground_contains_passages_vectors_and_the_base_model(work: Path, tmp_path: Path) -> None:
    from embedtune.core.encoders.onnx import OnnxEncoder

    folder = tmp_path / "play"
    folder.mkdir()
    (folder / "old-file").touch()
    index = opened(work)
    with pytest.raises(InputError, match="already contains something else"):
        write_playground(index, folder)
    (folder / "playground.json").write_text('{"passages": 3}')  # of an earlier version
    write_playground(index, folder)
    assert not (folder / "old-file").exists()
    assert read_record(folder / "playground.json", PlaygroundRecord) == PlaygroundRecord(
        base_model=str(work / "base"), passages=41, examples=("how do I clean the kiln?", "hoist chain")
    )
    exported = OnnxEncoder(folder / "base", CPU)
    texts = [record.text for record in PASSAGES]
    np.testing.assert_allclose(
        exported.encode_passages(texts, SilentProgress()), np.load(folder / "base.npy"), atol=1e-5
    )
    tuned = index.encoders["tuned"].encode_passages(texts, SilentProgress())
    np.testing.assert_allclose(np.load(folder / "tuned.npy"), tuned, atol=1e-6)


def asked(work: Path, *arguments: str, typed: str | None = None):
    return CliRunner().invoke(cli, ["search", str(work), "--set", "runtime.device=cpu", *arguments], input=typed)


def test_the_command_prints_one_line_of_json_per_question(work: Path) -> None:
    done = asked(work, "the hoist", "the kiln", "-k", "3", "--json")
    assert done.exit_code == 0, done.output
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["query"] for record in records] == ["the hoist", "the kiln"]
    assert [len(record["tuned"]) for record in records] == [3, 3]
    assert set(records[0]["base"][0]) == {"rank", "other_rank", "score", "id", "text"}


def test_the_command_reads_questions_from_stdin_until_it_ends(work: Path) -> None:
    done = asked(work, "-k", "2", "--json", "--model", "tuned", typed="the hoist\n\n  the kiln  \n")
    assert done.exit_code == 0, done.output
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["query"] for record in records] == ["the hoist", "the kiln"]
    assert set(records[0]) == {"query", "tuned"}


def test_the_command_names_what_is_missing_in_a_directory(tmp_path: Path) -> None:
    done = asked(tmp_path, "the hoist")
    assert done.exit_code == 1
    assert "dataset" in done.stderr
    assert "Traceback" not in done.output


def test_the_table_shows_heading_title_and_changes_of_rank() -> None:
    found = {
        "base": [
            Hit(1, 1, 0.91, "a", "Book > Chapter 1\nText one"),
            Hit(2, 3, 0.8, "b", "Book > Chapter 2\nText two"),
            Hit(3, None, 0.7, "c", "No title"),
        ],
        "tuned": [
            Hit(1, 1, 0.9, "a", "Book > Chapter 1\nText one"),
            Hit(2, None, 0.8, "d", "[red]x[/red]\n" + "word " * 60),
            Hit(3, 2, 0.7, "b", "Book > Chapter 2\nText two"),
        ],
    }
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(views.search_table("the question", found))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert lines[1:9] == [
        "the question",
        "base                                    tuned",
        "",
        "1. 0.910 =                              1. 0.900 =",
        "Chapter 1 · Book                        Chapter 1 · Book",
        "Text one                                Text one",
        "",
        "2. 0.800 ▼ to 3                         2. 0.800 ▲ from beyond 100",
    ]
    assert "[red]x[/red]" in lines[9]
    assert any("…" in line for line in lines)
    assert "3. 0.700 ▼ to beyond 100                3. 0.700 ▼ from 2" in lines


def test_ctrl_c_ends_a_search_without_an_error(work: Path) -> None:
    opened(work, "tuned")
    command = [sys.executable, "-m", "embedtune", "search", str(work), "--model", "tuned", "-k", "1", "--json"]
    asking = subprocess.Popen(
        [*command, "--set", "runtime.device=cpu"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert asking.stdin and asking.stdout
    asking.stdin.write("the hoist\n")
    asking.stdin.flush()
    assert json.loads(asking.stdout.readline())["query"] == "the hoist"
    asking.send_signal(2)
    _, errors = asking.communicate(timeout=60)
    assert asking.returncode == 0
    assert errors.strip() == ""
