"""A person reads questions, accepts, rejects and edits them, and the decisions come back."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedtune.cli import cli
from embedtune.core.config.ingest import IngestSettings
from embedtune.core.errors import InputError
from embedtune.core.progress import SilentProgress
from embedtune.core.records.reviews import Review, read_reviews
from embedtune.evaluate.sets import load_set
from embedtune.local.checked_set import write_checked_set
from embedtune.local.import_reviews import Imported, import_reviews
from embedtune.local.question_table import page_of, read_question_table, records, write_table
from embedtune.local.reviews import known_reviews, with_reviews
from embedtune.report.questions_page import render_questions
from tests.support.parsed_html import HOSTILE, ParsedPage
from tests.support.questions_work import make_questions_work


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return make_questions_work(tmp_path / "work")


def lines(folder: Path, *decisions: dict[str, str]) -> Path:
    path = folder / "reviews.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in decisions))
    return path


def add(work: Path, file: Path) -> Imported:
    return import_reviews(work, file, read_question_table(work))


def content_of(page: str) -> dict:
    (found,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page)
    return json.loads(found)


def page(work: Path, limit: int = 400) -> str:
    return render_questions(page_of(read_question_table(work), known_reviews(work), limit, 50, "the command"))


def test_the_page_has_questions_with_passage_scores_and_rejections(work):
    data = content_of(page(work))
    assert (data["kept"], data["rejected"], data["total"]) == (5, 3, 7)
    assert [item["split"] for item in data["items"]][:3] == ["test"] * 3  # they decide the verdict
    item = next(item for item in data["items"] if item["id"] == "train-1")
    assert (item["state"], item["reason"], item["answer"]) == ("rejected", "clarity too low", "because of 1")
    assert ["clarity", 2.0] in item["scores"] and ["rank in the base model", "2"] in item["ranks"]
    (passage,) = (data["passages"][name] for name in item["passages"])
    assert passage == {"path": "train.md", "heading": ["train", "Kiln"], "text": "About train."}


def test_rejections_are_grouped_by_reason_with_examples(work):
    reasons = {entry["text"]: entry for entry in content_of(page(work))["reasons"]}
    assert {text: entry["count"] for text, entry in reasons.items()} == {
        "clarity too low": 1,
        "accuracy too low": 1,
        "nothing (more) worth asking in the passage": 1,
    }
    assert reasons["clarity too low"]["examples"] == ["why does the train kiln say 1?"]
    assert reasons["nothing (more) worth asking in the passage"]["examples"] == []


def test_a_long_list_is_cut_undecided_test_questions_first(tmp_path):
    work = make_questions_work(tmp_path / "work", test=10)
    add(work, lines(tmp_path, *({"question_id": f"test-{n}", "decision": "accept"} for n in range(4))))
    data = content_of(page(work, limit=7))
    kept = [item["id"] for item in data["items"] if item["state"] == "kept"]
    assert len(kept) == 7 and {f"test-{n}" for n in range(4, 10)} < {*kept}
    assert data["checked_elsewhere"] == 4 and data["total"] == 14


def test_text_of_documents_and_llm_cannot_become_markup(tmp_path):
    work = make_questions_work(tmp_path / "work", text=f"{HOSTILE}</script><!--")
    text = page(work)
    parsed = ParsedPage(text)
    assert parsed.tags.count("script") == 2 and parsed.open == [] and parsed.handlers == []
    assert parsed.addresses == []
    assert content_of(text)["items"][0]["question"].startswith(HOSTILE)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "innerHTML" not in text and "insertAdjacentHTML" not in text


def test_decisions_are_kept_merged_and_taken_back(work, tmp_path):
    first = add(
        work,
        lines(
            tmp_path,
            {"question_id": "test-0", "decision": "accept"},
            {"question_id": "train-1", "decision": "accept", "question": "Why A?", "answer": "B"},
            {"question_id": "dev-0", "decision": "reject", "note": "trivial"},
            {"question_id": "of another directory", "decision": "reject"},
        ),
    )
    assert (first.accepted, first.edited, first.rejected, first.unknown) == (2, 1, 1, 1)
    second = add(
        work,
        lines(
            tmp_path,
            {"question_id": "dev-0", "decision": "clear"},
            {"question_id": "train-1", "decision": "accept"},
        ),
    )
    assert (second.accepted, second.edited, second.cleared) == (1, 1, 1)
    assert read_reviews(work / "reviews.jsonl") == {
        "test-0": Review(question_id="test-0", decision="accept"),
        "train-1": Review(question_id="train-1", decision="accept", question="Why A?", answer="B"),
    }


def test_words_that_change_nothing_are_no_edit(work, tmp_path):
    same = {"question": "why does the test kiln say 0?", "answer": "because of 0"}
    done = add(work, lines(tmp_path, {"question_id": "test-0", "decision": "accept", **same}))
    assert (done.accepted, done.edited) == (1, 0)


def test_a_line_that_is_no_decision_is_refused_with_its_place_and_nothing_is_imported(work, tmp_path):
    wrong = lines(
        tmp_path, {"question_id": "test-0", "decision": "accept"}, {"question_id": "test-1", "decision": "yes"}
    )
    with pytest.raises(InputError, match=r"reviews\.jsonl:2 is not a review"):
        add(work, wrong)
    assert known_reviews(work) == {}
    with pytest.raises(InputError, match="does not exist"):
        add(work, tmp_path / "nowhere.jsonl")


def test_a_table_can_be_filled_in_a_spreadsheet(tmp_path):
    work = make_questions_work(tmp_path / "work", text="=1+1 ")
    table = read_question_table(work)
    file = tmp_path / "questions.csv"
    write_table(file, records(table, {}))
    rows = {row["question_id"]: row for row in csv.DictReader(file.open(newline=""))}
    assert rows["test-0"]["question"].startswith("'=1+1")  # text, not a formula
    assert rows["train-1"]["reason"] == "clarity too low" and rows["train-1"]["documents"] == "'=1+1 train.md"
    rows["test-0"]["decision"] = "Accept"
    rows["test-1"]["answer"] = "another answer"
    rows["train-1"] |= {"decision": "reject", "note": "unclear"}
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows["test-0"]))
        writer.writeheader()
        writer.writerows(rows.values())
    done = import_reviews(work, file, table)
    assert (done.accepted, done.edited, done.rejected) == (2, 1, 1)
    assert known_reviews(work)["test-1"].answer == "another answer"
    assert known_reviews(work)["test-1"].question is None
    file.write_text("question_id,decision\ntest-0,maybe\n")
    with pytest.raises(InputError, match="accept, reject, clear"):
        import_reviews(work, file, table)


def test_accepted_test_questions_are_an_evaluation_set(work, tmp_path):
    done = add(
        work,
        lines(
            tmp_path,
            {"question_id": "test-0", "decision": "accept", "question": "Why nought?"},
            {"question_id": "test-99", "decision": "accept"},  # a filter had rejected it
            {"question_id": "test-1", "decision": "reject"},
            {"question_id": "dev-0", "decision": "accept"},
        ),
    )
    assert write_checked_set(work, read_question_table(work), done.reviews) == 2
    found = load_set("reviewed", work / "reviewed", IngestSettings(), SilentProgress())
    assert sorted(query.text for query in found.queries) == ["Why nought?", "why does the test kiln say 99?"]
    assert [list(judged) for judged in found.qrels.values()] == [["passage-test"], ["passage-test"]]
    assert len(found.corpus) == 3 and found.queries[0].metadata["answered_in"] == "test"


def test_a_passage_that_ingest_no_longer_has_is_said_to_be_gone(work):
    shutil.rmtree(work / "chunks")
    shutil.copytree(make_questions_work(work.parent / "other", passages=("dev",)) / "chunks", work / "chunks")
    data = content_of(page(work))
    assert "no longer among" in data["passages"]["passage-test"]["text"]
    assert data["passages"]["passage-dev"]["text"] == "About dev."


def test_a_file_name_says_the_format(work):
    wrong = CliRunner().invoke(cli, ["questions", str(work), "--output", "questions.txt"])
    assert wrong.exit_code == 2 and ".html, .csv, .jsonl" in wrong.output


def test_the_next_run_reads_the_decisions(work, tmp_path, config):
    assert with_reviews(config, work) == config
    add(work, lines(tmp_path, {"question_id": "test-0", "decision": "reject"}))
    assert with_reviews(config, work).generate.reviews == str(work / "reviews.jsonl")
    own = config.model_copy(update={"generate": config.generate.model_copy(update={"reviews": "mine.jsonl"})})
    assert with_reviews(own, work) == own


def test_the_command_writes_the_page_and_imports_what_it_saved(tmp_path):
    work = make_questions_work(tmp_path / "work", test=50)
    done = CliRunner().invoke(cli, ["questions", str(work)])
    assert done.exit_code == 0, done.output
    assert "52 questions kept, 3 rejected" in done.output and (work / "questions.html").is_file()
    table = CliRunner().invoke(cli, ["questions", str(work), "--output", str(tmp_path / "all.jsonl"), "--json"])
    assert json.loads(table.stdout)["kept"] == 52
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 54
    file = lines(tmp_path, *({"question_id": f"test-{n}", "decision": "accept"} for n in range(49)))
    few = CliRunner().invoke(cli, ["questions", str(work), "--import", str(file)])
    assert "test questions accepted: 49 of 50" in few.output and not (work / "reviewed").exists()
    file = lines(tmp_path, {"question_id": "test-49", "decision": "accept"})
    enough = CliRunner().invoke(cli, ["questions", str(work), "--import", str(file)])
    assert "50 test questions that a person has accepted" in enough.output
    assert f"--eval-set reviewed={work}/reviewed" in enough.output
