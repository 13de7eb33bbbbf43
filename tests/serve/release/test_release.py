"""A release: complete, named by its content, and refused when anything in it was changed."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedtune.core.artifacts import file_sha256, write_artifact
from embedtune.core.config.deploy import DeploySettings
from embedtune.core.config.export import ExportSettings
from embedtune.core.config.serve import ServeSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import ArtifactError, ConfigError
from embedtune.core.records.base import render_record, write_record
from embedtune.core.records.engine import Engine
from embedtune.core.retrieval.corpus_sample import CorpusSample, read_corpus_sample, write_corpus_sample
from embedtune.serve.release import build
from embedtune.serve.release.build import build_release
from embedtune.serve.release.proof import read_proof
from embedtune.serve.release.record import Proving, read_release
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
        rows = [{"text": f"text {number}", "kind": "query", "vector": [1.0] + [0.0] * 7} for number in range(40)]
        pq.write_table(pa.Table.from_pylist(rows), draft.path / "reference.parquet")
        CONTRACT.save(draft.path)
    return path


def test_a_release_is_data_weights_tokenizer_contract_and_reference(tmp_path: Path) -> None:
    release = build_release(make_engine(tmp_path / "engine"), tmp_path / "out", SETTINGS)
    assert release.path == tmp_path / "out" / release.id
    assert sorted(release.record.files) == [
        "embedtune.json",
        "model.onnx",
        "model.onnx.data",
        "proof.npz",
        "reference.parquet",
        "tokenizer.json",
    ]
    assert release.contract == CONTRACT
    assert list((tmp_path / "out").iterdir()) == [release.path]


def test_a_sample_of_the_corpus_is_part_of_the_release(tmp_path: Path) -> None:
    engine = make_engine(tmp_path / "engine")
    sample = CorpusSample(np.eye(8, dtype=np.float32)[:2], (8, 4), (0.5, 0.25))
    write_corpus_sample(engine / "corpus_sample.npz", sample)
    release = build_release(engine, tmp_path / "out", SETTINGS)
    assert release.record.files["corpus_sample.npz"] == file_sha256(engine / "corpus_sample.npz")
    assert read_corpus_sample(release.path / "corpus_sample.npz").far_below == (0.5, 0.25)


def test_release_json_describes_the_release_and_its_hash_is_the_id(tmp_path: Path) -> None:
    more = {"precision": "fp16", "tensorrt_version": "10.9.0.34", "compute_capability": "9.0"}
    engine = make_engine(tmp_path / "engine", "tensorrt", **more)
    release = build_release(engine, tmp_path / "out", SETTINGS)
    assert release.record.model_dump(exclude={"files", "engine", "serve"}) == {
        "target": "tensorrt",
        "precision": "fp16",
        "contract_hash": CONTRACT.hash,
        "dimensions": (8, 4),
        "hidden": 8,
        "max_length": 64,
        "proving": {"texts": 32, "min_cosine": 0.999},
        "tensorrt_version": "10.9.0.34",
        "compute_capability": "9.0",
    }
    assert release.record.serve == SETTINGS
    assert release.id == file_sha256(release.path / "release.json")


def test_deploy_decides_how_many_texts_prove_a_release_and_how_close_they_must_be(tmp_path: Path) -> None:
    engine = make_engine(tmp_path / "engine")
    deploy = DeploySettings(smoke_texts=5, min_cosine=0.5)
    release = build_release(engine, tmp_path / "out", SETTINGS, deploy)
    assert release.record.proving == Proving(texts=5, min_cosine=0.5)
    assert len(read_proof(release.path / "proof.npz").texts) == 5
    export = ExportSettings(min_cosine_fp32=0.75)
    assert build_release(engine, tmp_path / "out", SETTINGS, None, export).record.proving.min_cosine == 0.75


def test_without_a_text_that_the_endpoint_accepts_there_is_no_release(tmp_path: Path) -> None:
    engine = make_engine(tmp_path / "engine")
    table = pa.table({"text": ["x" * 17], "kind": ["query"], "vector": [[1.0] + [0.0] * 7]})
    with write_artifact(tmp_path / "long", "engine", provenance()) as draft:
        shutil.copytree(engine, draft.path, dirs_exist_ok=True)
        (draft.path / "manifest.json").unlink()
        pq.write_table(table, draft.path / "reference.parquet")
    with pytest.raises(ConfigError, match=r"no reference text(.|\n)*max_text_bytes=16"):
        build_release(tmp_path / "long", tmp_path / "out", ServeSettings(max_text_bytes=16))


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


@pytest.mark.parametrize("file", ["reference.parquet", "model.onnx"])
def test_a_changed_or_missing_file_is_found(tmp_path: Path, file: str) -> None:
    release = build_release(make_engine(tmp_path / "engine"), tmp_path / "out", SETTINGS)
    (release.path / file).write_text("other")
    with pytest.raises(ArtifactError, match="is missing or was changed"):
        read_release(release.path)
    (release.path / file).unlink()
    with pytest.raises(ArtifactError, match="is missing or was changed"):
        read_release(release.path)


@pytest.mark.parametrize("file", ["reference.parquet", "release.json", "model.py"])
def test_building_again_repairs_a_damaged_release(tmp_path: Path, file: str) -> None:
    engine = make_engine(tmp_path / "engine")
    release = build_release(engine, tmp_path / "out", SETTINGS)
    (release.path / file).write_text("other")
    with pytest.raises(ArtifactError, match=r"do: +(rebuild it|run `embedtune deploy` again)"):
        read_release(release.path)
    assert build_release(engine, tmp_path / "out", SETTINGS) == release
    assert read_release(release.path) == release
    assert [path.name for path in (tmp_path / "out").iterdir()] == [release.id]


@pytest.mark.parametrize("path", ["model.py", "__pycache__/model.cpython-311.pyc", "1/other"])
def test_a_foreign_file_is_found(tmp_path: Path, path: str) -> None:
    release = build_release(make_engine(tmp_path / "engine"), tmp_path / "out", SETTINGS)
    (release.path / path).parent.mkdir(exist_ok=True)
    (release.path / path).touch()
    with pytest.raises(ArtifactError, match="files that do not belong to the release") as error:
        read_release(release.path)
    assert error.value.got == [path]


def test_a_release_whose_record_was_changed_is_another_one(tmp_path: Path) -> None:
    release = build_release(make_engine(tmp_path / "engine"), tmp_path / "out", SETTINGS)
    file = release.path / "release.json"
    file.write_text(render_record(release.record.model_copy(update={"target": "onnxruntime"})))
    with pytest.raises(ArtifactError, match=f"is not release {release.id[:16]}: it was replaced or changed"):
        read_release(release.path, release.id)


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


def test_a_release_of_an_older_version_is_refused_and_built_again(tmp_path: Path) -> None:
    engine = make_engine(tmp_path / "engine")
    release = build_release(engine, tmp_path / "out", SETTINGS)
    file = release.path / "release.json"
    file.write_text(release.record.model_dump_json())  # as before records had versions
    with pytest.raises(ArtifactError, match=r"release version 0(.|\n)*release version 2(.|\n)*embedtune deploy"):
        read_release(release.path)
    assert build_release(engine, tmp_path / "out", SETTINGS) == release
    assert read_release(release.path) == release


def test_a_release_is_hashed_once_when_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, hashed = make_engine(tmp_path / "engine"), []
    monkeypatch.setattr(build, "file_sha256", lambda path: hashed.append(path.name) or file_sha256(path))
    monkeypatch.setattr(build, "read_release", lambda *_: pytest.fail("it was just written"))
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
