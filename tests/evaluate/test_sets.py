"""Reading the sets of an evaluation: a user's own set gets its near-duplicate groups when it is read."""

from pathlib import Path

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.progress import SilentProgress
from embedtune.core.retrieval.beir import Record, write_qrels, write_records
from embedtune.core.retrieval.passage_groups import family_of, group_of
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.sets import fingerprint, load_set

TEXT = "drain the brine tank of the kiln before you open the lower valve and wait until the pump has stopped"


def _write(folder: Path) -> Path:
    folder.mkdir()
    texts = {"a": TEXT, "copy": TEXT + " again", "b": "the cutter has four knives of hardened steel"}
    write_records(folder / "corpus.jsonl", [Record(name, text) for name, text in texts.items()])
    write_records(folder / "queries.jsonl", [Record("q", "when may I open the lower valve")])
    write_qrels(folder / "qrels" / "test.tsv", {"q": {"copy": 1}})
    return folder


def test_a_copy_that_nobody_judged_is_right_for_every_system(tmp_path):
    data = load_set("hand", _write(tmp_path / "hand"), IngestSettings(), SilentProgress())
    assert group_of(data.corpus) == family_of(data.corpus) == {"a": "a", "copy": "a", "b": "b"}
    found, nothing = {"q": {"b": 0.9, "a": 0.8, "copy": 0.7}}, {"q": {"b": 0.9}}
    result = SetResult("hand", data, {"bm25": found, "base": nothing, "tuned": found}, (10,))
    assert [result.first_rank(system, "q") for system in ("bm25", "base", "tuned")] == [2, None, 2]
    assert [result.means(system)["mrr@10"] for system in ("bm25", "base", "tuned")] == [0.5, 0.0, 0.5]
    assert result.units.count == 1


def test_an_evaluation_depends_on_what_near_duplicates_are(tmp_path):
    folder = _write(tmp_path / "hand")
    before = fingerprint(folder, IngestSettings())
    assert fingerprint(folder, IngestSettings(min_words=10)) == before
    assert fingerprint(folder, IngestSettings(near_duplicate_jaccard=0.9)) != before
