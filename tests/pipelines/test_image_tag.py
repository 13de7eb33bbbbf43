"""The image tag changes with what goes into the image, and with nothing else."""

import re
from pathlib import Path

import pytest

from embedtune.core.errors import ConfigError
from pipelines.compile import tag_of_sources
from pipelines.image import image_tag, in_checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in (
        "embedtune/core/a.py",
        "components/b.py",
        "pipelines/c.py",
        "images/cpu/Dockerfile",
        "pyproject.toml",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_a_tag_is_twelve_hex_digits_after_a_letter_and_reproducible(checkout: Path) -> None:
    """190042683306 and 12e456789012 were tags once: Helm's --set made numbers of them."""
    assert re.fullmatch("h[0-9a-f]{12}", image_tag(checkout))
    assert image_tag(checkout) == image_tag(checkout)


@pytest.mark.parametrize(
    "name", ["embedtune/core/a.py", "images/cpu/Dockerfile", "pyproject.toml", "pipelines/d.py"]
)
def test_a_changed_or_new_source_changes_it(checkout: Path, name: str) -> None:
    before = image_tag(checkout)
    (checkout / name).write_text("other")
    assert image_tag(checkout) != before


def test_a_renamed_source_changes_it(checkout: Path) -> None:
    before = image_tag(checkout)
    (checkout / "components/b.py").rename(checkout / "components/e.py")
    assert image_tag(checkout) != before


@pytest.mark.parametrize(
    "name",
    [
        "pipelines/compiled/finetune-gpu.yaml",
        "embedtune/__pycache__/a.cpython-311.pyc",
        "embedtune/.draft",
        "tests/test_a.py",
        "README.md",
    ],
)
def test_what_is_not_in_the_image_does_not_change_it(checkout: Path, name: str) -> None:
    before = image_tag(checkout)
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text("new")
    assert image_tag(checkout) == before


def test_a_base_with_a_digest_is_part_of_the_tag(checkout: Path) -> None:
    plain, base = image_tag(checkout), f"debian@sha256:{'0' * 64}"
    assert image_tag(checkout, base).startswith(f"{plain}-")
    assert image_tag(checkout, base) != image_tag(checkout, base.replace("0", "1"))


def test_an_installed_package_names_the_images_of_its_compiled_pipelines(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_checkout() and not in_checkout(checkout)  # the requirements are missing
    monkeypatch.setattr("pipelines.compile.in_checkout", lambda: False)
    monkeypatch.setattr("pipelines.compile.COMPILED", checkout)
    with pytest.raises(ConfigError, match="--tag TAG"):  # in our images, which have no compiled pipelines
        tag_of_sources()
    (checkout / "finetune-cpu.yaml").write_text("      image: embedtune/cpu:0123456789ab\n")
    assert tag_of_sources() == "0123456789ab"
