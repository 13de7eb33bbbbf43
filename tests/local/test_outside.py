"""`embedtune clean` removes what embedtune made outside of work directories, and nothing else."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedtune.cli import cli
from embedtune.local import outside
from embedtune.local.outside import IN_USE, NOT_OURS, Kept, kept_outside, remove

TRITON = "triton-0123456789ab"


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """A cache with an installation and a replica, a folder for temporary files, and an empty cache of the hub."""
    cache, temporary, hub = (tmp_path / name for name in ("cache", "temporary", "hub"))
    for folder in (cache / TRITON / "bin", cache / "local" / "triton-1", temporary, hub):
        folder.mkdir(parents=True)
    (cache / TRITON / "bin" / "tritonserver").write_bytes(b"x" * 1000)
    (cache / f"{TRITON}.lock").touch()
    (cache / "local" / "triton-1" / "model.onnx").write_bytes(b"x" * 500)
    (cache / "local" / "triton-1.log").write_bytes(b"x" * 20)
    return {"cache": cache, "temporary": temporary, "hub": hub}


def listed(places: dict[str, Path]) -> dict[str, Kept]:
    return {one.paths[0].name: one for one in kept_outside(**places)}


def test_each_thing_is_listed_with_its_size_and_removed(places):
    found = listed(places)
    assert {name: one.size for name, one in found.items()} == {"triton-1": 520, TRITON: 1000}
    assert not any(one.left for one in found.values())
    remove(found.values())
    assert [path.name for path in places["cache"].rglob("*")] == ["local"]


def test_what_embedtune_did_not_make_stays(places):
    (places["cache"] / "notes").mkdir()
    (places["cache"] / "local" / "triton-notes.txt").write_text("mine")
    found = listed(places)
    assert {name for name, one in found.items() if one.left == NOT_OURS} == {"notes", "triton-notes.txt"}
    remove(found.values())
    assert (places["cache"] / "notes").is_dir() and (places["cache"] / "local" / "triton-notes.txt").exists()


def test_links_are_neither_followed_nor_counted(places, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_bytes(b"x" * 9999)
    (places["cache"] / TRITON / "link").symlink_to(precious)
    (places["cache"] / "triton-aaaaaaaaaaaa").symlink_to(precious)
    (places["temporary"] / "embedtune-turn-999999999-0").symlink_to(precious / "file")
    found = listed(places)
    assert found[TRITON].size < 2000 and found["triton-aaaaaaaaaaaa"].left == NOT_OURS
    remove(found.values())
    assert (precious / "file").stat().st_size == 9999 and not (places["cache"] / TRITON).exists()
    places["cache"].rename(tmp_path / "elsewhere")
    places["cache"].symlink_to(tmp_path / "elsewhere")
    assert listed(places) == {}


def test_a_triton_that_runs_stays_and_so_does_its_installation(places):
    (places["cache"] / "local" / "triton-1.lock").touch()
    with (places["cache"] / "local" / "triton-1.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = listed(places)
        assert {one.left for one in found.values()} == {IN_USE}
        remove(found.values())
    assert (places["cache"] / TRITON / "bin" / "tritonserver").exists()


def test_lock_files_are_removed_once_their_server_has_ended(places):
    ended = subprocess.Popen(["true"])
    ended.wait()
    for process in (ended.pid, os.getpid()):
        (places["temporary"] / f"embedtune-turn-{process}-0").touch()
    (places["temporary"] / "embedtune-turn-x").touch()
    remove(kept_outside(**places))
    left = {path.name for path in places["temporary"].iterdir()}
    assert left == {f"embedtune-turn-{os.getpid()}-0", "embedtune-turn-x"}


def test_models_of_the_hub_are_shown_and_stay(places):
    (places["hub"] / "models--a--b").write_bytes(b"x" * 70)
    found = listed(places)["hub"]
    assert found.size == 70 and "other programs use it too" in found.left
    remove([found])
    assert (places["hub"] / "models--a--b").exists()


def test_the_command_asks_and_yes_removes(places, monkeypatch):
    monkeypatch.setattr(outside, "kept_outside", lambda: kept_outside(**places))
    asked = CliRunner().invoke(cli, ["clean"])
    assert asked.exit_code == 2 and "add --yes" in asked.output
    assert (places["cache"] / TRITON).exists()
    done = CliRunner().invoke(cli, ["clean", "--yes"])
    assert done.exit_code == 0 and "removed: 0.0 MB" in done.output
    assert not (places["cache"] / TRITON).exists()
