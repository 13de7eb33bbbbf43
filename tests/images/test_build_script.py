"""images/build with a builder and a debootstrap that only record how they were called."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from pipelines.image import image_tag

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = (
    "BASE_IMAGE",
    "TRITON_IMAGE",
    "PACKAGE_INDEX",
    "TORCH_INDEX",
    "TENSORRT_INDEX",
    "TENSORRT_VERSION",
    "DEBIAN_MIRROR",
    "REBUILD",
    "TORCH_SHA256",
)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with `debootstrap` and `podman`: each appends its arguments to the file `calls` next to it."""
    for name in ("debootstrap", "podman"):
        tool = tmp_path / name
        record = f'echo {name} "$@" >> {tmp_path}/calls'
        tool.write_text(f'#!/bin/sh\n{record}\n[ "$1" != import ] || cat > /dev/null\n')
        tool.chmod(0o755)
    return tmp_path


def build(tools: Path, image: str, **variables: str) -> str:
    """The recorded calls of the tools."""
    inherited = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    environment = inherited | {"PATH": f"{tools}:{os.environ['PATH']}", "BUILDER": "podman"} | variables
    subprocess.run([ROOT / "images/build", image], env=environment, capture_output=True, text=True, check=True)
    return (tools / "calls").read_text()


@pytest.mark.parametrize("variables", [{}, {"DEBIAN_MIRROR": ""}])
def test_debootstrap_uses_its_own_mirror(tools: Path, variables: dict[str, str]) -> None:
    call = build(tools, "base", **variables).splitlines()[0].split()
    assert call[:3] == ["debootstrap", "--variant=minbase", "bookworm"]
    assert len(call) == 4


def test_another_mirror_of_debian_can_be_named(tools: Path) -> None:
    call = build(tools, "base", DEBIAN_MIRROR="http://debian.test/debian").splitlines()[0].split()
    assert len(call) == 5
    assert call[4] == "http://debian.test/debian"


DIGEST = "nvcr.io/nvidia/tritonserver@sha256:" + "0" * 64


def tag(calls: str) -> str:
    (found,) = re.findall(r"-t embedtune/[\w-]+:(\S+)", calls)
    return str(found)


def test_a_triton_of_nvidias_must_carry_its_digest(tools: Path) -> None:
    for name in ("", "nvcr.io/nvidia/tritonserver:26.10-py3"):
        with pytest.raises(subprocess.CalledProcessError) as error:
            build(tools, "triton-gpu", TRITON_IMAGE=name)
        assert "needs TRITON_IMAGE with its digest" in error.value.stderr
    assert f"--build-arg TRITON_IMAGE={DIGEST}" in build(tools, "triton-gpu", TRITON_IMAGE=DIGEST)


def test_the_tag_includes_a_base_with_a_digest(tools: Path) -> None:
    plain = image_tag()
    base = f"debian@sha256:{'0' * 64}"
    assert tag(build(tools, "triton")) == plain
    (tools / "calls").unlink()
    assert tag(build(tools, "triton", BASE_IMAGE="debian:bookworm")) == plain
    (tools / "calls").unlink()
    assert tag(build(tools, "triton", BASE_IMAGE=base)) == image_tag(base=base) != plain


def test_a_rebuild_pulls_its_bases_again_and_has_a_tag_of_its_own(tools: Path) -> None:
    calls = build(tools, "cpu", REBUILD="20261129")
    assert tag(calls) == f"{image_tag()}-20261129"
    assert "--no-cache --pull" in calls


@pytest.mark.parametrize("image", ["cpu", "gpu", "triton", "triton-gpu"])
def test_no_index_is_passed_unless_one_is_named(tools: Path, image: str) -> None:
    assert "_INDEX" not in build(tools, image, PACKAGE_INDEX="", TENSORRT_INDEX="", TRITON_IMAGE=DIGEST)
    calls = build(tools, image, PACKAGE_INDEX="http://index.test", TRITON_IMAGE=DIGEST)
    assert "--build-arg PACKAGE_INDEX=http://index.test" in calls


@pytest.mark.parametrize("value", ["", "http://torch.test"])
def test_the_index_of_torch_can_be_changed_and_emptied(tools: Path, value: str) -> None:
    assert f"--build-arg TORCH_INDEX={value} " in build(tools, "cpu", TORCH_INDEX=value).replace("\n", " ")
