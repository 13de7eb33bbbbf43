"""A withdrawn document or query leaves feedback, in a directory and in a bucket; everything else stays."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from embedtune.cli.app import cli
from embedtune.core.records.feedback import FeedbackReader
from embedtune.local.forget_feedback import FeedbackPlace, Withdrawn
from embedtune.local.withdrawn_text import WithdrawnText
from embedtune.serve.store.directory import DirectoryObjects, open_objects
from tests.evaluate.test_quoted_set import write_chunks
from tests.support.feedback import chose, write_feedback
from tests.support.object_store import SECRETS, STORAGE, a_bucket, needs_server

LONG = "Bleed the casing at the top cock until brine runs without bubbles"
TEXT = WithdrawnText({"d1": "smith.docx"}, frozenset({"c1", "c2"}), (LONG,))
RECORDS = [
    chose("chosen by passage", "c1"),
    chose("chosen by path", "smith.docx"),
    chose("only shown", "a", shown=("c2", "a", "d1")),
    chose("only it was shown", shown=("c1",)),
    chose(f"it says {LONG.lower()} why", "a"),
    chose("Salary of  Ada Byron", "a"),
    chose("something else", "a"),
]


def left(place: Path) -> dict[str, tuple[str, ...]]:
    return {record.query: record.shown for record in FeedbackReader().read(sorted(place.glob("feedback-*.jsonl")))}


def test_records_about_the_document_go_and_it_leaves_the_results_of_others(tmp_path: Path) -> None:
    file = write_feedback(tmp_path, *RECORDS)
    before = file.read_bytes()
    place = FeedbackPlace(DirectoryObjects(tmp_path))
    counted = place.forget(Withdrawn(TEXT), delete=False)
    assert file.read_bytes() == before
    assert (counted.records, counted.shortened) == (4, 1)
    assert place.forget(Withdrawn(TEXT), delete=True) == counted
    assert left(tmp_path) == {
        "only shown": ("a",),
        "Salary of  Ada Byron": ("a", "b", "c"),
        "something else": ("a", "b", "c"),
    }
    assert place.forget(Withdrawn(TEXT), delete=True).records == 0


def test_a_query_is_forgotten_whatever_its_case_and_spaces(tmp_path: Path) -> None:
    write_feedback(tmp_path, *RECORDS)
    found = FeedbackPlace(DirectoryObjects(tmp_path)).forget(
        Withdrawn(None, ("salary of ada byron",)), delete=True
    )
    assert (found.records, found.shortened) == (1, 0)
    assert b"Ada" not in next(tmp_path.glob("feedback-*")).read_bytes()


def test_a_cut_off_line_goes_if_it_names_the_document_and_an_empty_file_goes(tmp_path: Path) -> None:
    file = write_feedback(tmp_path, chose("x", "c1"))
    with file.open("ab") as stream:
        stream.write(b'{"query": "from smith.docx\n')
    FeedbackPlace(DirectoryObjects(tmp_path)).forget(Withdrawn(TEXT), delete=True)
    assert not file.exists()
    file.write_bytes(b'{"query": "from other.docx\n')
    FeedbackPlace(DirectoryObjects(tmp_path)).forget(Withdrawn(TEXT), delete=True)
    assert file.exists()


@needs_server
def test_a_bucket_is_rewritten(tmp_path: Path) -> None:
    with a_bucket() as bucket:
        bucket.put("asked/feedback-2026-11-29-0123456789ab.jsonl", RECORDS[0].line)
        bucket.put("asked/feedback-2026-11-30-0123456789ab.jsonl", RECORDS[0].line + RECORDS[-1].line)
        bucket.put("asked/notes.txt", b"c1")
        place = FeedbackPlace(open_objects(f"s3://{bucket.name}/asked", STORAGE, SECRETS))
        assert place.forget(Withdrawn(TEXT), delete=True).records == 2
        assert bucket.names() == ["asked/feedback-2026-11-30-0123456789ab.jsonl", "asked/notes.txt"]
        data = bucket.client.get_object(bucket.name, bucket.names()[0]).read()
    assert data == RECORDS[-1].line


@pytest.mark.parametrize("documents", [(), ("pump.md",)])
def test_the_command_covers_named_places_and_those_that_are_trained_on(tmp_path: Path, documents) -> None:
    work, named, trained = tmp_path / "work", tmp_path / "named", tmp_path / "trained"
    write_chunks(work / "chunks")
    for place in (named, trained):
        write_feedback(place, chose("salary", "a"), chose("air", "c0"), chose("kiln", "c3"))
    pairs = f"split.human_pairs=[{{kind: feedback, place: {trained}}}]"
    command = ["forget", *documents, "--query", "Salary", "--feedback", str(named), "--set", pairs]
    done = CliRunner().invoke(cli, [*command, "--work", str(work), "--yes"])
    assert done.exit_code == 0, done.output
    for place in (named, trained):
        assert set(left(place)) == ({"kiln"} if documents else {"air", "kiln"})
    assert (work / "chunks").is_dir() != bool(documents)


def test_a_query_that_was_trained_on_takes_the_artifacts_with_it(tmp_path: Path) -> None:
    work = tmp_path / "work"
    write_chunks(work / "chunks")
    (work / "dataset").mkdir()
    (work / "dataset" / "queries.jsonl").write_text('{"_id": "human-1", "text": "The  salary"}\n')
    done = CliRunner().invoke(cli, ["forget", "--query", "the salary", "--work", str(work), "--yes"])
    assert done.exit_code == 0, done.output
    assert not (work / "dataset").exists()
    assert "the salary" not in done.output


def test_something_has_to_be_named() -> None:
    done = CliRunner().invoke(cli, ["forget", "--yes"])
    assert done.exit_code == 2
    assert "DOCUMENTS or --query" in done.output
