"""A server's model repository: configuration and code come from here, weights from the release."""

from pathlib import Path

import pytest

from embedtune.core.config.serve import ServeSettings
from embedtune.serve.release.build import build_release
from embedtune.serve.release.model_repository import remove_models, write_live_model, write_models
from tests.serve.release.test_release import make_engine

SETTINGS = ServeSettings(model_name="handbook")
NAME = "handbook@0123.ab"


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_python_backend_has_one_model_with_everything_in_it(tmp_path: Path) -> None:
    release = build_release(make_engine(tmp_path / "engine"), tmp_path / "out", SETTINGS)
    repository = tmp_path / "models"
    assert write_models(release, NAME, repository) == [NAME]
    assert files(repository) == {
        f"{NAME}/{file}"
        for file in (
            "config.pbtxt",
            "warmup/text",
            *(
                f"1/{name}"
                for name in (
                    "embedtune.json",
                    "model.onnx",
                    "model.onnx.data",
                    "model.py",
                    "proof.npz",
                    "tokenizer.json",
                    "triton_proof.py",
                    "triton_runners.py",
                )
            ),
        )
    }
    assert (repository / NAME / "1" / "model.onnx").samefile(release.path / "model.onnx")
    remove_models(NAME, repository)
    assert files(repository) == set()
    assert (release.path / "model.onnx").is_file()


@pytest.mark.parametrize(("target", "file"), [("onnxruntime", "model.onnx"), ("tensorrt", "model.plan")])
def test_other_targets_have_the_encoder_as_a_separate_model_that_is_loaded_first(
    tmp_path: Path, target: str, file: str
) -> None:
    release = build_release(make_engine(tmp_path / "engine", target), tmp_path / "out", SETTINGS)
    repository = tmp_path / "models"
    assert write_models(release, NAME, repository) == [f"{NAME}_encoder", NAME]
    encoder = repository / f"{NAME}_encoder"
    assert file in files(encoder / "1")
    code = {"model.py", "triton_proof.py", "triton_runners.py"}
    assert files(repository / NAME / "1") == code | {"tokenizer.json", "embedtune.json"}
    # Values of the warm-up requests: 32 rows of 16 tokens, 8 bytes each; and the full dimension for each row.
    assert (encoder / "warmup" / "input_ids_32").stat().st_size == 32 * 16 * 8
    assert (encoder / "warmup" / "dimensions_1").read_bytes() == (8).to_bytes(8, "little")
    remove_models(NAME, repository)
    assert files(repository) == set()


def test_the_warm_up_text_is_in_tritons_format(tmp_path: Path) -> None:
    release = build_release(make_engine(tmp_path / "engine"), tmp_path / "out", SETTINGS)
    write_models(release, NAME, tmp_path / "models")
    data = (tmp_path / "models" / NAME / "warmup" / "text").read_bytes()
    assert int.from_bytes(data[:4], "little") == len(data) - 4 > 0


def test_the_live_model_is_written_again_only_if_it_changes(tmp_path: Path) -> None:
    serving, repository = tmp_path / "serving.json", tmp_path / "models"
    assert write_live_model(SETTINGS, serving, repository)
    assert files(repository) == {"handbook/config.pbtxt", "handbook/1/model.py"}
    assert not write_live_model(SETTINGS, serving, repository)
    assert write_live_model(SETTINGS.model_copy(update={"max_batch_size": 8}), serving, repository)
