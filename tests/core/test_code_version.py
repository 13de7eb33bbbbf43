"""Which stages run again after which edits, as found from their imports."""

import shutil
from pathlib import Path

import pytest

from embedtune.core.code_version import PACKAGE, code_version, counted_files
from embedtune.core.stage import STAGE_NAMES


def versions(package: Path) -> dict[str, str]:
    code_version.cache_clear()
    return {stage: code_version(f"embedtune.{stage}.stage", package) for stage in STAGE_NAMES}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a copy of the package's code that can be edited."""
    leave_out = shutil.ignore_patterns("__pycache__", "sample")
    return Path(shutil.copytree(PACKAGE, tmp_path / "embedtune", ignore=leave_out))


def rerun(package: Path, edited: str) -> set[str]:
    """Edit a file of the copy and return the stages whose outputs are then out of date."""
    before = versions(package)
    file = package / edited
    file.write_text(file.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    after = versions(package)
    return {stage for stage in STAGE_NAMES if before[stage] != after[stage]}


@pytest.mark.parametrize("module", ["client", "cache", "retries", "pacing", "wire"])
def test_an_edit_in_the_llm_client_reruns_exactly_the_stages_that_import_it(package: Path, module: str) -> None:
    assert rerun(package, f"llm/{module}.py") == {"generate"}


@pytest.mark.parametrize("module", ["core/artifacts.py", "core/errors.py", "core/contract.py", "core/stage.py"])
def test_an_edit_in_what_every_stage_imports_reruns_everything(package: Path, module: str) -> None:
    assert rerun(package, module) == set(STAGE_NAMES)


@pytest.mark.parametrize(
    "module", ["core/config/train.py", "core/config/config.py", "__init__.py", "report/page.py"]
)
def test_settings_the_public_names_and_the_report_decide_nothing(package: Path, module: str) -> None:
    assert rerun(package, module) == set()


def test_a_prompt_is_code_of_the_stage_that_sends_it(package: Path) -> None:
    assert rerun(package, "generate/prompts/judge.md") == {"generate"}


def test_a_model_card_template_is_code_of_train(package: Path) -> None:
    assert rerun(package, "train/model_card.md") == {"train"}


def test_a_stage_does_not_rerun_for_another_stage(package: Path) -> None:
    assert rerun(package, "evaluate/intervals.py") == {"evaluate"}


def test_a_module_that_only_a_function_imports_counts(tmp_path: Path) -> None:
    package = tmp_path / "embedtune"
    (package / "late").mkdir(parents=True)
    (package / "late" / "__init__.py").write_text("")
    (package / "late" / "used.py").write_text("")
    (package / "late" / "typed.py").write_text("")
    (package / "late" / "stage.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from embedtune.late.typed import X\n"
        "def run():\n    from . import used\n"
    )
    names = [path.name for path in counted_files("embedtune.late.stage", package)]
    assert names == ["__init__.py", "stage.py", "used.py"]


def made(tmp_path: Path, **files: str) -> Path:
    """Return a package with the given modules, `a__b` for a/b.py."""
    package = tmp_path / "embedtune"
    for name, text in files.items():
        path = package.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


def test_every_form_of_import_is_found(tmp_path: Path) -> None:
    package = made(
        tmp_path,
        a__stage="from .sub import x\nimport embedtune.one.m as n\nif n:\n    import embedtune.two\n",
        a__sub__x="from typing import TYPE_CHECKING\nif not TYPE_CHECKING:\n    from embedtune.star import *\n",
        a__up="",
        one__m="",
        star="",
        two="",
        other="",
    )
    (package / "a" / "__init__.py").write_text("")
    (package / "two").mkdir()
    (package / "two" / "__init__.py").write_text(
        "from ..a import up\n"
    )  # a package comes before the module two.py
    names = [path.relative_to(package).as_posix() for path in counted_files("embedtune.a.stage", package)]
    assert names == [
        "a/__init__.py",
        "a/stage.py",
        "a/sub/x.py",
        "a/up.py",
        "one/m.py",
        "star.py",
        "two/__init__.py",
    ]


def test_a_module_that_does_not_exist_has_no_code_version(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no module"):
        code_version("embedtune.nope", made(tmp_path, a=""))


def test_an_editor_that_has_a_module_open_does_not_change_its_version(package: Path) -> None:
    before = versions(package)
    for name in (".stage.py.swp", "stage.py~"):
        (package / "train" / name).write_text("")
    assert versions(package) == before
