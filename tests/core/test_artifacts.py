"""Artifacts are complete or absent, and every change to them is noticed."""

import json
from pathlib import Path

import pytest

from embedtune.core.artifacts import (
    Provenance,
    StageReport,
    is_current,
    read_artifact,
    read_manifest,
    write_artifact,
)
from embedtune.core.errors import ArtifactError, InputError
from tests.support.context import CONTRACT, provenance

SETTINGS, INPUTS = {"mine": {"margin": 0.05}}, {"dataset": "abc"}
FROM = provenance(SETTINGS, INPUTS)


def write(path: Path, text: str = "{}", provenance: Provenance = FROM) -> None:
    with write_artifact(path, "triplets", provenance) as draft:
        (draft.path / "triplets.parquet").write_text(text)
        (draft.path / "passages.parquet").write_text("")
        (draft.path / "audit.json").write_text("{}")
        draft.counts = {"rows": 3}
        draft.report = StageReport("mine", {"rows": 3}, ("few rows",), seconds=1.5)


def test_what_was_written_is_read_back(tmp_path):
    write(tmp_path / "triplets")
    artifact = read_artifact(tmp_path / "triplets", "triplets")
    assert artifact.manifest.counts == {"rows": 3}
    assert artifact.manifest.report == StageReport("mine", {"rows": 3}, ("few rows",), seconds=1.5)
    assert sorted(artifact.manifest.files) == ["audit.json", "passages.parquet", "triplets.parquet"]


def test_the_fingerprint_is_of_the_content_alone(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", provenance=provenance())
    write(tmp_path / "c", text="other")
    a, b, c = (read_artifact(tmp_path / name, "triplets").fingerprint for name in "abc")
    assert a == b != c


def test_an_interrupted_writer_leaves_the_old_artifact(tmp_path):
    write(tmp_path / "triplets", text="old")
    with pytest.raises(KeyboardInterrupt), write_artifact(tmp_path / "triplets", "triplets", FROM) as draft:
        (draft.path / "triplets.parquet").write_text("new")
        raise KeyboardInterrupt
    assert (tmp_path / "triplets" / "triplets.parquet").read_text() == "old"
    write(tmp_path / "triplets", text="new")
    assert (tmp_path / "triplets" / "triplets.parquet").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["triplets"]


def test_a_missing_file_is_refused_at_writing(tmp_path):
    with (
        pytest.raises(ArtifactError, match="triplets artifact are missing"),
        write_artifact(tmp_path / "x", "triplets", FROM) as draft,
    ):
        (draft.path / "audit.json").write_text("{}")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("damage", ["edit", "delete", "manifest", "none"])
def test_damage_is_noticed_and_says_what_to_run(tmp_path, damage):
    path = tmp_path / "triplets"
    write(path)
    if damage == "edit":
        (path / "triplets.parquet").write_text("[]")
    elif damage == "delete":
        (path / "audit.json").unlink()
    elif damage == "manifest":
        (path / "manifest.json").write_text("{")
    else:
        path = tmp_path / "nowhere"
    with pytest.raises(ArtifactError, match="embedtune mine") as caught:
        read_artifact(path, "triplets")
    assert "--force" not in str(caught.value)  # the command of a stage has no such option


def test_another_schema_or_version_is_refused(tmp_path):
    write(tmp_path / "triplets")
    with pytest.raises(ArtifactError, match="expected: chunks version"):
        read_manifest(tmp_path / "triplets", "chunks")
    file = tmp_path / "triplets" / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 99}))
    with pytest.raises(ArtifactError, match="triplets version 99"):
        read_manifest(tmp_path / "triplets", "triplets")


@pytest.mark.parametrize(
    "other",
    [
        provenance(SETTINGS, INPUTS, seed=43),
        provenance(SETTINGS, INPUTS, contract=CONTRACT.model_copy(update={"max_length": 64})),
        provenance({"mine": {"margin": 0.1}}, INPUTS),
        provenance(SETTINGS, {"dataset": "abd"}),
        provenance(SETTINGS, INPUTS, code="other"),
    ],
)
def test_a_stage_is_skipped_only_with_the_same_inputs_config_seed_and_code(tmp_path, other):
    write(tmp_path / "triplets")
    assert is_current(tmp_path / "triplets", "triplets", FROM)
    assert not is_current(tmp_path / "triplets", "triplets", other)
    assert not is_current(tmp_path / "nowhere", "triplets", FROM)


def test_only_an_older_artifact_of_the_same_kind_is_replaced(tmp_path):
    """A work directory, another artifact or the user's documents named as output by mistake are not lost."""
    write(tmp_path / "work" / "triplets", text="old")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("a")
    (tmp_path / "file").write_text("a")
    for name in ("work", "docs", "file", "."):
        with pytest.raises(InputError, match="already contains something else"):
            write(tmp_path / name)
    with (
        pytest.raises(InputError, match="a triplets directory"),
        write_artifact(tmp_path / "work" / "triplets", "model", FROM),
    ):
        pass
    assert read_artifact(tmp_path / "work" / "triplets", "triplets")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["docs", "file", "work"]
    (tmp_path / "work" / "triplets" / "manifest.json").write_text("{")  # a damaged one is made again
    (tmp_path / "empty").mkdir()
    write(tmp_path / "work" / "triplets", text="new")
    write(tmp_path / "empty")
    assert read_artifact(tmp_path / "work" / "triplets", "triplets")


def test_two_writers_of_one_artifact_do_not_mix_their_files(tmp_path):
    with write_artifact(tmp_path / "triplets", "triplets", FROM) as draft:
        (draft.path / "triplets.parquet").write_text("first")
        (draft.path / "passages.parquet").write_text("")
        (draft.path / "audit.json").write_text("{}")
        with pytest.raises(InputError, match="another process is writing"):
            write(tmp_path / "triplets", text="second")
    assert (tmp_path / "triplets" / "triplets.parquet").read_text() == "first"


def test_a_link_to_a_directory_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "triplets"
    link.symlink_to(tmp_path / "disk")
    for text in ("one", "two", "three"):
        write(link, text=text)
        assert (tmp_path / "disk" / "triplets.parquet").read_text() == text
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "triplets"]


def test_what_is_no_artifact_at_all_is_said(tmp_path):
    write(tmp_path / "triplets")
    file = tmp_path / "triplets" / "manifest.json"
    file.write_text("[" * 100_000)
    with pytest.raises(ArtifactError, match="damaged"):
        read_manifest(str(tmp_path / "triplets"), "triplets")
    file.unlink()
    file.mkdir()
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_manifest(tmp_path / "triplets", "triplets")
    with pytest.raises(InputError, match="unknown kind of artifact"):
        read_artifact(tmp_path / "triplets", "triplet")
