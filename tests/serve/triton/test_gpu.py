"""A TensorRT release starts only on the TensorRT version and the GPU generation that built it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from embedtune.core.errors import InputError
from embedtune.serve.release.record import Release
from embedtune.serve.triton.gpu import compute_capability, count_gpus, require_same_gpu, tensorrt_version
from embedtune.serve.triton.installation import Installation
from embedtune.serve.triton.server import require_runnable
from tests.support.serving_world import release_record

BUILT = {"target": "tensorrt", "tensorrt_version": "10.13.3.9", "compute_capability": "9.0"}
RECORD = release_record(Path("nowhere"), **BUILT)
NAME = RECORD.id[:16]
SHOWS_IT = '[ "$*" = "--query-gpu=compute_cap --format=csv,noheader" ] && printf "9.0\\n8.0\\n"'


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that writes an nvidia-smi to a PATH that has nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(script: str) -> None:
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "nvidia-smi").chmod(0o755)

    return write


def check(tmp_path: Path, target: str = "tensorrt") -> None:
    for name in ("python", "tensorrt"):
        (tmp_path / "backends" / name).mkdir(parents=True, exist_ok=True)
    there = Installation(tmp_path / "tritonserver", tmp_path / "backends", tmp_path / "caches", {})
    require_runnable(Release(tmp_path, RECORD.model_copy(update={"target": target})), there)


@pytest.mark.parametrize("version", ["10.13.3.9", "10.13.3", "10.13", "10.13.3.9+cuda13.0", "10.13.3.12"])
def test_the_same_tensorrt_is_recognised_by_major_minor_and_patch(version: str) -> None:
    require_same_gpu(RECORD, version, "9.0")
    # The version is compared first, so it is not what is refused here.
    with pytest.raises(InputError, match="a different GPU generation"):
        require_same_gpu(RECORD, version, "8.0")


@pytest.mark.parametrize("version", ["10.13.2.6", "10.9.0.34", "11.13.3.9", "10.1", "unknown"])
def test_another_tensorrt_is_refused_by_name(version: str) -> None:
    with pytest.raises(InputError, match=f"{NAME} was built for a different TensorRT version") as error:
        require_same_gpu(RECORD, version, "9.0")
    assert error.value.got == f"{version} on this machine"
    assert "10.13.3.9" in str(error.value.expected)
    assert "export.target=tensorrt" in str(error.value.fix)


@pytest.mark.parametrize("capability", ["8.0", "8.9", "10.0", "12.0"])
def test_another_gpu_generation_is_refused_by_name(capability: str) -> None:
    with pytest.raises(InputError, match=f"{NAME} was built for a different GPU generation") as error:
        require_same_gpu(RECORD, "10.13.3.9", capability)
    assert error.value.got == f"compute capability {capability} on this machine"
    assert "9.0" in str(error.value.expected)
    assert error.value.fix


def test_without_a_gpu_only_the_version_is_compared() -> None:
    require_same_gpu(RECORD, "10.13.3", None)
    with pytest.raises(InputError, match="a different TensorRT version"):
        require_same_gpu(RECORD, "10.12.0", None)


def test_a_triton_of_unknown_tensorrt_version_is_refused() -> None:
    assert tensorrt_version({"TRT_VERSION": "10.13.3"}) == "10.13.3"
    for environment in ({}, {"TRT_VERSION": ""}):
        with pytest.raises(InputError, match=r"not known(.|\n)*TRT_VERSION"):
            tensorrt_version(environment)


def test_the_first_gpu_counts(smi: Callable[[str], None]) -> None:
    smi(SHOWS_IT)
    assert compute_capability() == "9.0"


@pytest.mark.parametrize(
    ("script", "got"),
    [
        (None, "nvidia-smi"),
        ("echo 'cannot talk to the driver'; exit 9", "cannot talk to the driver"),
        ("exit 0", "lists none"),
    ],
)
def test_a_machine_without_a_gpu_says_so(smi: Callable[[str], None], script: str | None, got: str) -> None:
    if script:
        smi(script)
    with pytest.raises(InputError, match="needs an NVIDIA GPU") as error:
        compute_capability()
    assert got in str(error.value.got)


def test_a_release_is_loaded_only_where_its_engine_was_built(
    smi: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRT_VERSION", "10.13.3")
    smi(SHOWS_IT)
    check(tmp_path)
    smi("echo 8.0")
    with pytest.raises(InputError, match="a different GPU generation"):
        check(tmp_path)
    monkeypatch.setenv("TRT_VERSION", "10.12.0")
    with pytest.raises(InputError, match="a different TensorRT version"):
        check(tmp_path)


def test_other_targets_need_neither_gpu_nor_tensorrt(
    smi: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRT_VERSION", raising=False)
    check(tmp_path, "python-cpu")


def test_the_gpus_are_those_that_the_environment_names_else_all(smi: Callable[[str], None]) -> None:
    assert count_gpus({}) == 0  # no nvidia-smi
    smi(SHOWS_IT)
    assert count_gpus({}) == 2
    assert [count_gpus({"CUDA_VISIBLE_DEVICES": named}) for named in ("", "0", "0,2,3")] == [0, 1, 3]
    smi("echo 'cannot talk to the driver'; exit 9")
    assert count_gpus({}) == 0
