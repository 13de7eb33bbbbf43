"""A release: complete, named by its content, and refused when anything in it was changed."""

import shutil
from pathlib import Path

import pytest

from embedtune.core.artifacts import file_sha256, write_artifact
from embedtune.core.config.serve import ServeSettings
from embedtune.core.contract import EncoderContract, load_contract
from embedtune.core.errors import ArtifactError, ConfigError
from embedtune.core.records.base import render_record, write_record
from embedtune.core.records.engine import Engine
from embedtune.serve.release import build
from embedtune.serve.release.build import build_release
from embedtune.serve.release.record import read_release, release_id
from tests.support.context import provenance

CONTRACT = EncoderContract(base_model="m", max_length=64, dimensions=(8, 4), query_prefix="q: ")
SETTINGS = ServeSettings(model_name="handbook")


def make_engine(path: Path, target: str = "python-cpu", weights: str = "graph", **more: object) -> Path:
    """Write an engine artifact whose graph is just a few bytes."""
    with write_artifact(path, "engine", provenance()) as draft:
        file = "model.plan" if target == "tensorrt" else "model.onnx"
        record = {"target": target, "precision": "fp32", "opset": 20, "file": file, "hidden": 8}
        (draft.path / file).write_text(weights)
        (draft.path / f"{file}.data").write_text("weights")
        write_record(draft.path / "engine.json", Engine.model_validate(record | more))
        (draft.path / "tokenizer.json").write_text("{}")
        (draft.path / "parity.json").write_text("{}")
        (draft.path / "reference.parquet").write_text("rows")
        CONTRACT.save(draft.path)
    return path


def test_a_release_for_the_python_backend_is_one_model_with_everything_in_it(tmp_path: Path) -> None:
    release = build_release(make_engine(tmp_path / "engine"), tmp_path / "out", SETTINGS)
    assert release.path == tmp_path / "out" / release.id
    assert sorted(release.record.files) == [
        "reference.parquet",
        "repository/handbook/1/embedtune.json",
        "repository/handbook/1/model.onnx",
        "repository/handbook/1/model.onnx.data",
        "repository/handbook/1/model.py",
        "repository/handbook/1/tokenizer.json",
        "repository/handbook/config.pbtxt",
        "repository/handbook/warmup/text",
    ]
    assert load_contract(release.repository / "handbook" / "1") == CONTRACT
    assert list((tmp_path / "out").iterdir()) == [release.path]


def test_release_json_describes_the_release(tmp_path: Path) -> None:
    more = {"precision": "fp16", "tensorrt_version": "10.9.0.34", "compute_capability": "9.0"}
    engine = make_engine(tmp_path / "engine", "tensorrt", **more)
    record = build_release(engine, tmp_path / "out", SETTINGS).record
    assert record.model_dump(exclude={"files", "engine", "id"}) == {
        "target": "tensorrt",
        "precision": "fp16",
        "model_name": "handbook",
        "contract_hash": CONTRACT.hash,
        "dimensions": (8, 4),
        "max_length": 64,
        "response_cache_mb": 0,
        "tensorrt_version": "10.9.0.34",
        "compute_capability": "9.0",
    }


@pytest.mark.parametrize(("target", "file"), [("onnxruntime", "model.onnx"), ("tensorrt", "model.plan")])
def test_other_targets_have_the_encoder_as_a_separate_model(tmp_path: Path, target: str, file: str) -> None:
    release = build_release(make_engine(tmp_path / "engine", target), tmp_path / "out", SETTINGS)
    encoder = release.repository / "handbook_encoder"
    assert {path.name for path in (encoder / "1").iterdir()} == {file, f"{file}.data"}
    assert {path.name for path in (release.repository / "handbook" / "1").iterdir()} == {
        "model.py",
        "tokenizer.json",
        "embedtune.json",
    }
    # Values of the warm-up requests: 32 rows of 16 tokens, 8 bytes each; and the full dimension for each row.
    assert (encoder / "warmup" / "input_ids_32").stat().st_size == 32 * 16 * 8
    assert (encoder / "warmup" / "dimensions_1").read_bytes() == (8).to_bytes(8, "little")


def test_the_warm_up_text_is_in_tritons_format(tmp_path: Path) -> None:
    release = build_release(make_engine(tmp_path / "engine"), tmp_path / "out", SETTINGS)
    data = (release.repository / "handbook" / "warmup" / "text").read_bytes()
    assert int.from_bytes(data[:4], "little") == len(data) - 4 > 0


def test_equal_content_is_one_release_and_every_difference_makes_another(tmp_path: Path) -> None:
    def name(engine: str, settings: ServeSettings = SETTINGS, **what: str) -> str:
        return build_release(make_engine(tmp_path / engine, **what), tmp_path / "out", settings).id

    first = name("a")
    assert name("b") == first
    others = [
        name("c", weights="others"),
        name("d", target="onnxruntime"),
        name("e", SETTINGS.model_copy(update={"max_batch_size": 8})),
        name("f", SETTINGS.model_copy(update={"response_cache_mb": 8})),
    ]
    assert len({first, *others}) == 5
    assert {path.name for path in (tmp_path / "out").iterdir()} == {first, *others}


@pytest.mark.parametrize("file", ["reference.parquet", "repository/handbook/1/model.py"])
def test_a_changed_or_missing_file_is_found(tmp_path: Path, file: str) -> None:
    release = build_release(make_engine(tmp_path / "engine"), tmp_path / "out", SETTINGS)
    (release.path / file).write_text("other")
    with pytest.raises(ArtifactError, match="is missing or was changed"):
        read_release(release.path)
    (release.path / file).unlink()
    with pytest.raises(ArtifactError, match="is missing or was changed"):
        read_release(release.path)


@pytest.mark.parametrize("file", ["reference.parquet", "release.json", "repository/handbook/1/foreign.py"])
def test_building_again_repairs_a_damaged_release(tmp_path: Path, file: str) -> None:
    engine = make_engine(tmp_path / "engine")
    release = build_release(engine, tmp_path / "out", SETTINGS)
    (release.path / file).write_text("other")
    with pytest.raises(ArtifactError, match=r"do: +(rebuild it|run `embedtune deploy` again)"):
        read_release(release.path)
    assert build_release(engine, tmp_path / "out", SETTINGS) == release
    assert read_release(release.path) == release
    assert [path.name for path in (tmp_path / "out").iterdir()] == [release.id]


def test_a_foreign_file_is_found_but_compiled_python_is_allowed(tmp_path: Path) -> None:
    release = build_release(make_engine(tmp_path / "engine"), tmp_path / "out", SETTINGS)
    version = release.repository / "handbook" / "1"
    (version / "__pycache__").mkdir()
    (version / "__pycache__" / "model.cpython-311.pyc").touch()
    assert read_release(release.path).id == release.id
    (release.repository / "other" / "1").mkdir(parents=True)
    (release.repository / "other" / "1" / "model.py").touch()
    with pytest.raises(ArtifactError, match="files that do not belong to the release") as error:
        read_release(release.path)
    assert error.value.got == ["repository/other/1/model.py"]


def test_a_release_whose_record_was_changed_is_refused(tmp_path: Path) -> None:
    release = build_release(make_engine(tmp_path / "engine"), tmp_path / "out", SETTINGS)
    file = release.path / "release.json"
    file.write_text(render_record(release.record.model_copy(update={"target": "onnxruntime"})))
    with pytest.raises(ArtifactError, match="was changed"):
        read_release(release.path)


def test_a_directory_without_release_json_is_not_a_release(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a release"):
        read_release(tmp_path)


def test_an_engine_for_an_unknown_target_is_refused(tmp_path: Path) -> None:
    with write_artifact(tmp_path / "engine", "engine", provenance()) as draft:
        shutil.copytree(make_engine(tmp_path / "known"), draft.path, dirs_exist_ok=True)
        (draft.path / "manifest.json").unlink()
        file = draft.path / "engine.json"
        file.write_text(file.read_text().replace("python-cpu", "openvino"))
    with pytest.raises(ArtifactError, match=r"engine\.json is damaged(.|\n)*target(.|\n)*embedtune export"):
        build_release(tmp_path / "engine", tmp_path / "out", SETTINGS)


def test_the_id_is_a_hash_over_files_and_target_without_release_json() -> None:
    assert release_id({"b": "2", "a": "1"}, "python-cpu") == "f227bf0b2cb0d1c0"


def test_a_release_of_an_older_version_is_refused_and_built_again(tmp_path: Path) -> None:
    engine = make_engine(tmp_path / "engine")
    release = build_release(engine, tmp_path / "out", SETTINGS)
    file = release.path / "release.json"
    file.write_text(release.record.model_dump_json())  # as before records had versions
    with pytest.raises(ArtifactError, match=r"release version 0(.|\n)*release version 1(.|\n)*embedtune deploy"):
        read_release(release.path)
    assert build_release(engine, tmp_path / "out", SETTINGS) == release
    assert read_release(release.path) == release


def test_a_release_is_hashed_once_when_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, hashed = make_engine(tmp_path / "engine"), []
    monkeypatch.setattr(build, "file_sha256", lambda path: hashed.append(path.name) or file_sha256(path))
    monkeypatch.setattr(build, "read_release", lambda path: pytest.fail("it was just written"))
    release = build_release(engine, tmp_path / "out", SETTINGS)
    assert sorted(hashed) == sorted(Path(name).name for name in release.record.files)


@pytest.mark.parametrize(("built_for", "allowed"), [(32, False), (64, True), (128, True)])
def test_batches_larger_than_the_engine_accepts_are_refused(tmp_path: Path, built_for: int, allowed: bool) -> None:
    engine = make_engine(tmp_path / "engine", "tensorrt", max_batch_size=built_for)
    settings = ServeSettings(max_batch_size=64)
    if allowed:
        build_release(engine, tmp_path / "out", settings)
    else:
        with pytest.raises(ConfigError, match=r"(?s)max_batch_size=64.*at most 32"):
            build_release(engine, tmp_path / "out", settings)
