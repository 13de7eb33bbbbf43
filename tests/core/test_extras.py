"""Every module that is imported is installed in any case, or is one whose extra an error names."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from embedtune.core.extras import EXTRAS, NO_POSIX, POSIX, missing_module

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_TRITON = {
    "triton_python_backend_utils",
    "tensorrt",
}  # in NVIDIA's images; export.target=tensorrt says so itself


def names_of(requirements: list[str]) -> set[str]:
    found = (re.match(r"[\w.-]+", one) for one in requirements)
    return {name[0].lower().replace("_", "-") for name in found if name}


def distributions() -> dict[str, set[str]]:
    found = importlib.metadata.packages_distributions()
    return {module: {name.lower().replace("_", "-") for name in names} for module, names in found.items()}


def imported() -> set[str]:
    modules = set()
    for path in (ROOT / "embedtune").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    return modules - set(sys.stdlib_module_names) - {"embedtune"} - OF_TRITON


def required(name: str, seen: set[str]) -> set[str]:
    """Return a distribution and everything that it needs."""
    if name in seen:
        return seen
    seen.add(name)
    try:
        needed = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return seen
    for one in names_of([line for line in needed if "extra ==" not in line]):
        required(one, seen)
    return seen


def test_every_import_is_a_dependency_or_has_an_extra():
    base: set[str] = set()
    for name in names_of(PROJECT["dependencies"]):
        required(name, base)
    home = distributions()
    lacking = {module for module in imported() if not (home.get(module, set()) & base)}
    assert lacking <= set(EXTRAS), "add the module to EXTRAS, or its package to the dependencies"


def test_every_extra_that_an_error_names_installs_the_module():
    home = distributions()
    for module, extra in EXTRAS.items():
        if extra and module in home:  # what is installed here
            found: set[str] = set()
            for name in names_of(PROJECT["optional-dependencies"][extra]):
                required(name, found)
            assert home[module] & found, f"embedtune[{extra}] does not install {module}"
        assert not extra or extra in PROJECT["optional-dependencies"]


@pytest.mark.parametrize("module", sorted(name for name, extra in EXTRAS.items() if extra))
def test_an_error_names_the_extra(module):
    error = missing_module(ModuleNotFoundError("no", name=f"{module}.part"))
    assert error is not None and error.fix == f"pip install 'embedtune[{EXTRAS[module]}]'"


def test_other_errors_are_not_explained():
    assert missing_module(ModuleNotFoundError("no", name="embedtune.typo")) is None
    assert missing_module(ValueError("no")) is None


def run_without(*modules: str, code: str) -> subprocess.CompletedProcess[str]:
    blocked = "; ".join(f"sys.modules[{module!r}] = None" for module in modules)
    return subprocess.run([sys.executable, "-c", f"import sys; {blocked}; {code}"], capture_output=True, text=True)


@pytest.mark.parametrize("module", sorted(POSIX))
def test_windows_gets_one_sentence(module):
    if module == "fcntl":  # `resource` is needed by ingest's workers only
        done = run_without(module, code="from embedtune.cli import cli; cli(['--help'])")
        assert done.returncode == 1 and done.stderr.startswith(f"error: {NO_POSIX}")
        assert "Traceback" not in done.stderr
    done = run_without(module, code="import embedtune; print(embedtune.__version__)")
    assert done.returncode == 0, done.stderr
    missing = missing_module(ModuleNotFoundError("no", name=module))
    assert missing is not None and missing.what == NO_POSIX


def test_the_library_says_the_same():
    done = run_without("fcntl", code="import embedtune; embedtune.run")
    assert f"ConfigError: {NO_POSIX}" in done.stderr


def test_a_command_names_the_extra_that_it_lacks():
    done = run_without("fastapi", "uvicorn", code="from embedtune.cli import cli; cli(['gateway'])")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "pip install 'embedtune[serve]'" in done.stderr
