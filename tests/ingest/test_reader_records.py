"""Records: one document per row, with title, id and metadata from named columns."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedtune.core.config.records import RecordSettings
from embedtune.core.errors import InputError
from embedtune.ingest.blocks import UnreadableError
from embedtune.ingest.entries import Found, Unread
from embedtune.ingest.reading import check_columns, read_documents

TICKETS = [
    {"Key": "P-1", "Summary": "Printer offline", "Description": "It blinks.\n\nTwice a day.", "Prio": "high"},
    {"Key": "P-2", "Summary": "Kiln is cold", "Description": "The belt stops.", "Prio": "low"},
]
NAMED = RecordSettings(text=("Description",), title="Summary", id="Key", metadata=("Prio",))


def read(path: Path, *settings: RecordSettings) -> list[Found | Unread]:
    return list(read_documents(path.name, path, settings))


def one(path: Path, *settings: RecordSettings) -> Found:
    (found,) = read(path, *settings)
    assert isinstance(found, Found)
    return found


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def tickets(folder: Path) -> Iterator[Path]:
    yield lines(folder / "a.jsonl", TICKETS)
    table = folder / "a.csv"
    table.write_text('Key;Summary;Description;Prio\nP-1;Printer offline;"It blinks.\n\nTwice a day.";high\n')
    with table.open("a") as stream:
        stream.write("P-2;Kiln is cold;The belt stops.;low\n")
    yield table
    tabs = folder / "a.tsv"
    tabs.write_text('Key\tSummary\tDescription\tPrio\nP-1\tPrinter offline\t"It blinks.\n\nTwice a day."\thigh\n')
    with tabs.open("a") as stream:
        stream.write("P-2\tKiln is cold\tThe belt stops.\tlow\n")
    yield tabs
    pq.write_table(pa.Table.from_pylist(TICKETS), folder / "a.parquet")
    yield folder / "a.parquet"


def test_every_format_gives_the_same_documents(tmp_path: Path) -> None:
    for path in tickets(tmp_path):
        first, second = read(path, NAMED)
        assert isinstance(first, Found) and isinstance(second, Found)
        assert first.extract.text == "Printer offline\n\nIt blinks.\n\nTwice a day."
        assert [part.kind for part in first.extract.parts] == ["heading", "paragraph", "paragraph"]
        assert (first.key, dict(first.metadata), second.key) == ("P-1", {"Prio": "high"}, "P-2")
        assert second.name(path.name) == f"{path.name}#P-2"


def test_without_settings_columns_with_usual_names_are_used_and_said(tmp_path: Path) -> None:
    first, second = read(lines(tmp_path / "a.jsonl", TICKETS))
    assert isinstance(first, Found) and isinstance(second, Found)
    told = "columns guessed: text from Description, title from Summary, id from Key (ingest.records names them)"
    assert first.extract.remarks == (told,) and second.extract.remarks == ()
    assert first.key == "P-1" and first.metadata == {}


def test_unknown_text_column_is_refused_with_the_columns(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"nr": 1, "fields": {"what": "x", "by": {"name": "y"}}}])
    with pytest.raises(UnreadableError, match=r"ingest\.records; columns: nr, fields\.what, fields\.by\.name"):
        read(path)
    wrong = RecordSettings(text=("fields.why",), title="nr", files="*.jsonl")
    with pytest.raises(InputError, match=r"no column fields\.why") as caught:
        check_columns(path.name, path, (wrong,))
    assert caught.value.got == "nr, fields.what, fields.by.name"
    check_columns(path.name, path, (RecordSettings(text=("fields.what",), metadata=("fields.by",)),))


def test_columns_inside_objects_and_lists_are_named_with_dots(tmp_path: Path) -> None:
    row = {"fields": {"comments": [{"body": "First."}, {"body": None}, {"body": "Second."}], "tags": ["a", 2]}}
    settings = RecordSettings(text=("fields.comments.body",), metadata=("fields.tags",))
    found = one(lines(tmp_path / "a.jsonl", [row]), settings)
    assert found.extract.text == "First.\n\nSecond." and found.metadata == {"fields.tags": "a, 2"}


def test_several_text_columns_become_sections(tmp_path: Path) -> None:
    settings = RecordSettings(text=("Description", "Fix"), title="Summary")
    row = {"Summary": "Offline", "Description": "It blinks.", "Fix": "Pull the plug."}
    extract = one(lines(tmp_path / "a.jsonl", [row]), settings).extract
    levels = [(extract.text[part.start : part.end], part.level) for part in extract.parts]
    assert levels == [("Offline", 1), ("Description", 2), ("It blinks.", 0), ("Fix", 2), ("Pull the plug.", 0)]


def test_headings_inside_a_text_are_below_its_title(tmp_path: Path) -> None:
    row = {"t": "Pump", "x": "# Start\n\nPress it."}
    settings = RecordSettings(text=("x",), title="t", format="markdown")
    parts = one(lines(tmp_path / "a.jsonl", [row]), settings).extract.parts
    assert [part.level for part in parts if part.kind == "heading"] == [1, 2]


def test_without_an_id_the_key_is_a_hash_of_the_content(tmp_path: Path) -> None:
    settings = RecordSettings(text=("x",))
    rows = [{"x": "One.", "n": 1}, {"x": "Two."}, {"x": "One.", "n": 2}]
    first, second, third = read(lines(tmp_path / "a.jsonl", rows), settings)
    assert isinstance(first, Found) and isinstance(second, Found) and first.key != second.key
    assert third == Unread(f"{first.key} (record 3)", "repeats an earlier record")
    assert one(lines(tmp_path / "b.jsonl", rows[:1]), settings).key == first.key


def test_bad_records_are_named_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = json.dumps({"id": 7, "text": "Good."})
    nested = json.dumps({"id": 8, "text": {"type": "doc"}})
    bad = ["{", "[1]", "", '{"id": 9}', '{"text": "No id."}', good, nested, "[" * 100_000]
    path.write_text("\n".join([good, *bad]))
    found = [(item.key, item.reason) for item in read(path) if isinstance(item, Unread)]
    assert [key for key, _ in found] == ["line 2", "line 3", "9", "record 5", "7 (record 6)", "8", "line 9"]
    assert [reason.partition(":")[0] for _, reason in found] == [
        "not JSON",
        "not a JSON object",
        "no text in text",
        "no id in column id",
        "repeats the id of an earlier record",
        "column text holds objects, not text",
        "JSON nested too deeply",
    ]


def test_csv_of_a_spreadsheet_program(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('sep=;\r\nid;text;note;note\r\n1;"Größe; ""40""";a;b\r\n2;x;y;z;lost\r\n'.encode("cp1252"))
    settings = RecordSettings(text=("text",), id="id", metadata=("note",))
    found, bad = read(path, settings)
    assert isinstance(found, Found) and found.extract.text == 'Größe; "40"'
    assert found.metadata == {"note": "a, b"} and found.extract.remarks == ("encoding guessed: windows-1252",)
    assert bad == Unread("line 4", "5 cells, but the header has 4")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_marks_and_wide_encodings(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("id,text\n1,Größe\n".encode(encoding))
    assert one(path).extract.text == "Größe"


def test_quotation_mark_that_is_never_closed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedtune.ingest.readers.rows.LONGEST_LINE", 1000)
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,good\n2,"bad\n' + "x,y\n" * 1000)
    found = read_documents(path.name, path, ())
    assert isinstance(next(found), Found)
    with pytest.raises(UnreadableError, match=r"damaged at line \d+: field larger"):
        next(found)


def test_rows_that_a_quotation_mark_swallows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('id\ttext\tnote\n1\t"5 inch\tx\n2\tb\ty\n3\t3" c\tz\n4\td\tw\n')
    swallowed, kept = read(path)
    assert isinstance(swallowed, Unread) and "quotation mark" in swallowed.reason and swallowed.key == "line 4"
    assert isinstance(kept, Found) and kept.key == "4"


def test_file_without_a_record_is_named_with_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('[\n{"text": 1},\n{"text": 2},\n]')
    with pytest.raises(UnreadableError, match="no record found: line 1 is not JSON"):
        read(tmp_path / "a.jsonl")


def test_numbers_dates_and_missing_values_of_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.int64()),
            "text": ["One.", None],
            "at": pa.array([0, None], pa.date32()),
            "score": pa.array([float("nan"), 2.5]),
            "image": pa.array([b"\xff\xd8", b"\xff\xd8"], pa.binary()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    settings = RecordSettings(text=("text",), id="id", metadata=("at", "score"))
    found, empty = read(tmp_path / "a.parquet", settings)
    assert isinstance(found, Found) and (found.key, dict(found.metadata)) == ("1", {"at": "1970-01-01"})
    assert empty == Unread("2", "no text in text")


def test_first_entry_whose_pattern_fits_is_used(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"x": "One.", "y": "Two."}])
    by_pattern = (RecordSettings(text=("x",), files="other/*"), RecordSettings(text=("y",), files="sub/*.jsonl"))
    (found,) = read_documents("sub/deep/a.jsonl", path, by_pattern)
    assert isinstance(found, Found) and found.extract.text == "Two."


def test_large_file_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as stream:
        for number in range(3_000):
            stream.write(json.dumps({"id": number, "text": "word" * 2_000}) + "\n")
    assert path.stat().st_size > 20 << 20
    tracemalloc.start()
    count = 0
    for item in read_documents(path.name, path, ()):
        count += isinstance(item, Found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3_000 and peak < 6 << 20
