"""A withdrawn document leaves the work directory, the LLM cache and the stored releases."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from embedtune.cli.app import cli
from embedtune.core.errors import InputError
from embedtune.llm.cache import ResponseCache
from embedtune.local.forget import forget, what_to_forget
from embedtune.serve.store.records import Pointer
from embedtune.serve.store.store import ReleaseStore
from tests.support.generate_world import ROWS, GenerateWorld
from tests.support.object_store import SECRETS, STORAGE, a_bucket, needs_server
from tests.support.openai_server import OpenAIServer
from tests.support.releases import make_release
from tests.support.tiny_model import make_tiny_model

GONE = ROWS[0][0]


def written(world: GenerateWorld) -> tuple[list[str], list[str]]:
    """Return the texts of the replies that wrote questions: about the document, and about others."""
    with closing(sqlite3.connect(world.cache / "llm.sqlite")) as db:
        rows = db.execute("SELECT text, doc_id FROM replies JOIN documents USING (key) WHERE prompt != 'judge'")
        texts = [(text, doc_id == GONE) for text, doc_id in rows]
    return [text for text, gone in texts if gone], [text for text, gone in texts if not gone]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GenerateWorld]:
    """A work directory in which generate ran on ten documents."""
    folder = tmp_path_factory.mktemp("forget")
    base = make_tiny_model(folder / "base")
    with OpenAIServer() as server:
        world = GenerateWorld(folder / "work", base, server)
        world.run(bundles_per_chunk=0.0)
        (world.folder / "notes.txt").write_text("mine")
        yield world


@pytest.fixture
def world(finished: GenerateWorld, tmp_path: Path) -> GenerateWorld:
    """A copy of it."""
    shutil.copytree(finished.folder, tmp_path / "work")
    return replace(finished, folder=tmp_path / "work")


def empty(world: GenerateWorld) -> ReleaseStore:
    """The store of a work directory that was never deployed."""
    return ReleaseStore(str(world.folder / "cache" / "store"), STORAGE, SECRETS)


def test_replies_about_the_document_go_and_the_others_are_not_paid_for_again(world):
    paid = 2 * len(ROWS)
    before = world.server.completions
    found = what_to_forget(world.folder, [f"{GONE}.md"], empty(world))
    assert len(found.withdrawn.text.chunk_ids) == 2
    assert (len(found.replies), found.kept_replies) == (4, paid - 4)  # two chunks, each written and judged
    forget(found, empty(world))
    world.run(rows=[row for row in ROWS if row[0] != GONE], bundles_per_chunk=0.0)
    assert world.server.completions == before
    world.run(output="with", bundles_per_chunk=0.0)
    assert world.server.completions == before + 4


def test_its_text_is_in_no_file_that_embedtune_wrote_and_other_files_stay(world):
    gone, kept = written(world)
    assert (len(gone), len(kept)) == (2, len(ROWS) - 2)
    for training in ("curve/questions-050-0", "bases/gte-small"):  # of `embedtune curve` and `bases --tune`
        (world.folder / training).mkdir(parents=True)
        (world.folder / training / "triplets.parquet").write_text(gone[0])
    forget(what_to_forget(world.folder, [GONE], empty(world)), empty(world))
    left = {path.relative_to(world.folder).as_posix() for path in world.folder.rglob("*") if path.is_file()}
    (bundles,) = (name for name in left if name.startswith("cache/bundles-"))  # ids of chunks, no text
    assert left == {"notes.txt", "cache/llm.sqlite", bundles}
    replies = (world.folder / "cache/llm.sqlite").read_bytes()
    assert all(text.encode() not in replies for text in gone)
    assert all(text.encode() in replies for text in kept)


def test_replies_about_unknown_documents_go_too(world):
    with closing(sqlite3.connect(world.cache / "llm.sqlite")) as db, db:  # as earlier versions left them
        db.execute("DELETE FROM documents")
    assert what_to_forget(world.folder, [GONE], empty(world)).kept_replies == 0
    # A run that finds them says what they are about.
    world.run(output="again", bundles_per_chunk=0.0)
    assert what_to_forget(world.folder, [GONE], empty(world)).kept_replies == 2 * len(ROWS) - 4


def test_an_interrupted_command_finds_the_rest(world, monkeypatch):
    def cut(self: ResponseCache, keys: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ResponseCache, "delete", cut)
    with pytest.raises(KeyboardInterrupt):
        forget(what_to_forget(world.folder, [GONE], empty(world)), empty(world))
    monkeypatch.undo()
    assert len(what_to_forget(world.folder, [GONE], empty(world)).replies) == 4


def test_a_document_that_ingest_did_not_read_is_refused(world):
    with pytest.raises(InputError, match="no such document"):
        what_to_forget(world.folder, ["other.md"], empty(world))
    with pytest.raises(InputError, match="has no documents that ingest read"):
        what_to_forget(world.folder / "cache", [GONE], empty(world))


def test_the_command_says_what_it_deletes_and_asks_first(world):
    runner = CliRunner()
    asked = runner.invoke(cli, ["forget", GONE, "--work", str(world.folder)])
    assert asked.exit_code == 2
    assert "add --yes" in asked.output
    assert (world.folder / "chunks").is_dir()
    done = runner.invoke(cli, ["forget", GONE, "--work", str(world.folder), "--yes"])
    assert done.exit_code == 0, done.output
    assert "deletes 4 LLM replies" in done.output
    assert "questions" in done.output
    assert not (world.folder / "chunks").exists()


@needs_server
def test_releases_that_quote_the_document_go_except_the_live_one(world, tmp_path):
    def release(name: str, text: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        pq.write_table(pa.table({"text": [text]}), folder / "reference.parquet")
        return store.publish(make_release(folder, {"x": name.encode()}), name).id

    with a_bucket() as bucket:
        store = ReleaseStore(f"s3://{bucket.name}/releases", STORAGE, SECRETS)
        quotes = f"{ROWS[0][2]} And more."
        old, live, other = release("old", quotes), release("live", quotes), release("other", ROWS[5][2])
        store.objects.write("pointer.json", Pointer(live=live))
        found = what_to_forget(world.folder, [GONE], store)
        assert (found.releases, found.still_live) == ((old,), live)
        assert f"embedtune release delete {live}" in "\n".join(found.sentences())
        forget(found, store)
        assert {one.id for one in store.releases()} == {live, other}
        with pytest.raises(InputError, match="live release cannot be deleted"):
            store.delete([live])
