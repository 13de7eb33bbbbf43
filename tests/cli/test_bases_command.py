"""`embedtune bases`, as it is typed."""

import json

import pytest
from click.testing import CliRunner

from embedtune.cli.app import cli
from tests.support.curve_work import make_curve_work
from tests.support.evaluation_site import beir_set, dataset_artifact
from tests.support.public_forms import write_library_files
from tests.support.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    options = []
    for name, seed in (("first", 0), ("second", 1)):
        base = make_tiny_model(root / name, seed=seed)
        write_library_files(base, pooling="mean", prompts={"query": "", "document": ""}, max_seq_length=48)
        options += ["--base", str(base)]
    return options


def call(*arguments: str):
    return CliRunner().invoke(cli, ["bases", *arguments, "--set", "runtime.device=cpu"])


def test_without_documents_the_own_questions_decide(tmp_path, bases):
    ours = beir_set(tmp_path / "ours")
    result = call("--eval-set", f"ours={ours}", "--work", str(tmp_path / "work"), "--json", *bases)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["questions"], [one["name"] for one in found["scores"]]) == ({"ours": 6}, ["bm25", *bases[1::2]])


def test_the_questions_of_a_run_are_used_with_those_of_an_own_set(tmp_path, bases):
    dataset_artifact(tmp_path / "work" / "dataset")
    ours = beir_set(tmp_path / "ours")
    result = call(str(tmp_path / "work"), "--eval-set", f"ours={ours}", *bases)
    assert result.exit_code == 0, result.output
    titles = [line for line in result.stdout.splitlines() if "families" in line]
    assert titles == [f"{name}: 6 questions, 6 families of documents" for name in ("synthetic", "ours")]
    assert "per passage" in result.stdout and "not stated" in result.stdout


def test_a_work_directory_without_questions_is_not_taken_for_documents(tmp_path, bases):
    (tmp_path / "work" / "chunks").mkdir(parents=True)
    (tmp_path / "work" / "chunks" / "manifest.json").write_text("{}")
    result = call(str(tmp_path / "work"), "--work", str(tmp_path / "work"), *bases)
    assert result.exit_code == 2
    assert "no test questions in this work directory yet" in result.output
    assert f"embedtune run DOCS --to split --work {tmp_path / 'work'}" in result.output


def test_nothing_to_compare_on_is_said(tmp_path, bases):
    result = call("--work", str(tmp_path / "work"), *bases)
    assert result.exit_code == 2
    assert "no questions to compare on" in result.output


TRAINING = [
    f"--set={setting}"
    for setting in (
        *("train.batch_size=8", "train.epochs=2", "train.learning_rate=5e-3", "train.seeds=3"),
        *("mine.min_negatives=1", "mine.max_short_share=1", "evaluate.interval_samples=200"),
    )
]


def test_each_base_is_trained_on_the_train_questions_of_the_run_if_asked(tmp_path, bases):
    work, _ = make_curve_work(tmp_path)
    result = call(str(work), "--tune", "--json", *TRAINING, *bases)
    assert result.exit_code == 0, result.output
    assert "2 base models to train: at most about" in result.stderr  # before the first training
    assert result.stderr.index("to train") < result.stderr.index("train: kept step")
    scores = json.loads(result.stdout)["scores"]
    assert [(one["name"], bool(one["tuned"])) for one in scores] == [
        ("bm25", False),
        *((b, True) for b in bases[1::2]),
    ]
    for one in scores[1:]:
        tuned, untuned = one["tuned"]["synthetic"], one["sets"]["synthetic"]
        expected = tuned["metrics"]["ndcg@10"] - untuned["metrics"]["ndcg@10"]
        assert tuned["gain"]["mean"] == pytest.approx(expected, abs=1e-6)
        assert tuned["metrics"] != untuned["metrics"]  # it has learned something

    trained = sorted((work / "bases").glob("*/model/manifest.json"))
    before = [file.read_bytes() for file in trained]
    again = call(str(work), "--tune", *TRAINING, *bases)
    assert (len(trained), [file.read_bytes() for file in trained]) == (2, before)  # nothing is trained twice
    assert [line.split()[:2] for line in again.stdout.splitlines() if "tuned" in line][1:] == [
        ["tuned", f"{one['tuned']['synthetic']['metrics']['ndcg@10']:.4f}"] for one in scores[1:]
    ]


def test_there_must_be_questions_to_train_on(tmp_path, bases):
    ours = beir_set(tmp_path / "ours")
    result = call("--eval-set", f"ours={ours}", "--work", str(tmp_path / "work"), "--tune", *bases)
    assert result.exit_code == 2
    assert "--tune needs questions to train on" in result.output
