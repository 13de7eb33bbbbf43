"""What `embedtune compare` says of work directories: settings that differ, and paired differences."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from embedtune.cli import cli
from embedtune.core.artifacts import Settings, write_artifact
from embedtune.core.errors import ArtifactError, InputError
from embedtune.local.compare import compare_works
from embedtune.report.comparison import render_comparison
from tests.support.context import provenance
from tests.support.parsed_html import HOSTILE, ParsedPage

METRICS = ("ndcg@10", "mrr@10", "recall@10")
FAMILIES = 12


def write_work(
    folder: Path,
    tuned: dict[str, float],
    *,
    base: float = 0.4,
    name: str = "ours",
    inputs: dict[str, str] | None = None,
    epochs: float = 3.0,
    families: bool = True,
) -> Path:
    """Write an evaluation of questions that each belong to a family of their own.

    Args:
        folder: The work directory.
        tuned: The value of every metric of the tuned model, by question.
        base: The value of every metric of the base model.
        name: Name of the set.
        inputs: Fingerprints that the evaluation was made from.
        epochs: A setting of train, in the model's manifest.
        families: Whether the table names the families.
    """
    rows = []
    for system in ("base", "tuned"):
        for question, value in tuned.items():
            measured = base if system == "base" else value
            row = {"set": name, "query_id": question, "query": f"what of {question}?", "system": system}
            rows.append(row | dict.fromkeys(METRICS, measured) | {"first_relevant_rank": 1})
            if families:
                rows[-1]["families"] = [f"family of {question}"]
    settings: Settings = {"evaluate": {"interval_samples": 500, "confidence": 0.95}}
    with write_artifact(folder / "evaluation", "evaluation", provenance(settings, inputs)) as draft:
        pq.write_table(pa.Table.from_pylist(rows), draft.path / "per_query.parquet")
        for file in ("metrics.json", "verdict.json"):
            (draft.path / file).write_text("{}")
    with write_artifact(folder / "model", "model", provenance({"train": {"epochs": epochs}})) as draft:
        for file in ("embedtune.json", "modules.json", "training.json"):
            (draft.path / file).write_text("{}")
        draft.counts = {"rows": 5}
    return folder


def flat(value: float, questions: int = FAMILIES) -> dict[str, float]:
    return {f"q{number:02}": value for number in range(questions)}


def test_the_difference_is_that_of_the_tuned_models_on_each_question(tmp_path):
    gains = {question: 0.5 + 0.1 * (number % 3) for number, question in enumerate(flat(0.0))}
    found = compare_works([write_work(tmp_path / "a", flat(0.5)), write_work(tmp_path / "b", gains)])
    (entry,) = found.sets
    first, second = entry.works
    assert (entry.name, entry.questions, entry.units, first.change) == ("ours", 12, 12, None)
    assert first.tuned["ndcg@10"] == pytest.approx(0.5) and second.tuned["ndcg@10"] == pytest.approx(0.6)
    assert second.change is not None and second.change["ndcg@10"].mean == pytest.approx(0.1)
    assert 0 < second.change["ndcg@10"].low < 0.1 < second.change["ndcg@10"].high
    assert (second.better, second.worse) == (8, 0)
    assert found.sentences()[0].startswith(
        "On 12 ours questions, b is better than a: nDCG@10 +0.1000 (95% interval"
    )


def test_a_difference_that_may_be_chance_is_said_to_be_one(tmp_path):
    mixed = {question: 0.5 + 0.1 * (-1) ** number for number, question in enumerate(flat(0.0))}
    found = compare_works([write_work(tmp_path / "a", flat(0.5)), write_work(tmp_path / "b", mixed)])
    assert "b differs by no more than chance from a" in found.sentences()[0]


def test_few_families_allow_no_interval(tmp_path):
    found = compare_works([write_work(tmp_path / "a", flat(0.5, 3)), write_work(tmp_path / "b", flat(0.9, 3))])
    assert "3 families are too few for an interval" in found.sentences()[0]


def test_only_settings_that_differ_are_listed(tmp_path):
    found = compare_works(
        [write_work(tmp_path / "a", flat(0.5)), write_work(tmp_path / "b", flat(0.6), epochs=5.0)]
    )
    assert [(row.key, row.values) for row in found.settings] == [("train.epochs", ("3.0", "5.0"))]


def test_only_questions_that_all_have_are_compared(tmp_path):
    fewer = {question: value for question, value in flat(0.7).items() if question != "q00"}
    found = compare_works([write_work(tmp_path / "a", flat(0.5)), write_work(tmp_path / "b", fewer)])
    assert found.sets[0].questions == 11
    assert "only the 11 questions that all have are compared (a has 12, b has 11)" in found.remarks[0]


def test_another_set_of_passages_is_pointed_out(tmp_path):
    one, other = ({"eval_set.1.ours": digest} for digest in ("11", "22"))
    works = [
        write_work(tmp_path / "a", flat(0.5), inputs=one),
        write_work(tmp_path / "b", flat(0.5), inputs=other),
    ]
    assert "the passages that are searched" in compare_works(works).remarks[0]
    assert compare_works([works[0], works[0]]).remarks == ()


def test_sets_without_a_common_question_are_not_compared(tmp_path):
    other = {f"r{number}": 0.5 for number in range(12)}
    found = compare_works([write_work(tmp_path / "a", flat(0.5)), write_work(tmp_path / "b", other)])
    assert found.sets == () and "--eval-set" in found.remarks[0]
    unlike = compare_works([tmp_path / "a", write_work(tmp_path / "c", flat(0.5), name="theirs")])
    assert "c was not measured on it" in unlike.remarks[0]


def test_one_directory_or_an_old_evaluation_is_refused(tmp_path):
    work = write_work(tmp_path / "a", flat(0.5))
    with pytest.raises(InputError, match="nothing to compare"):
        compare_works([work])
    with pytest.raises(ArtifactError, match="an earlier version"):
        compare_works([work, write_work(tmp_path / "b", flat(0.5), families=False)])


def test_the_page_is_one_safe_file(tmp_path):
    works = [write_work(tmp_path / name, flat(0.5 + n / 10), name=HOSTILE) for n, name in enumerate("ab")]
    render_comparison(compare_works(works), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    page = ParsedPage(text)
    assert page.open == [] and page.addresses == [] and page.handlers == []
    assert not {"script", "link", "img", "iframe", "form"} & set(page.tags)
    assert "default-src 'none'" in text


def test_the_command_writes_the_page_and_prints_the_comparison(tmp_path):
    works = [str(write_work(tmp_path / name, flat(0.5 + n / 10), epochs=n)) for n, name in enumerate("ab", 1)]
    page = tmp_path / "page.html"
    done = CliRunner().invoke(cli, ["compare", *works, "--output", str(page)])
    assert done.exit_code == 0, done.output
    assert "b is better than a" in " ".join(done.output.split()) and "train.epochs" in done.output
    record = json.loads(CliRunner().invoke(cli, ["compare", *works, "--output", str(page), "--json"]).stdout)
    assert record["sets"][0]["works"][1]["change"]["ndcg@10"]["mean"] == pytest.approx(0.1)
    assert page.read_text().startswith("<!doctype html>")
