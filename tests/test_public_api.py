"""The public API: its names, that they are imported lazily, and that the example in its docstring runs."""

import ast
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml

import embedtune
from embedtune.core.errors import ArtifactError, ConfigError, ContractError
from embedtune.core.stage import STAGE_NAMES
from tests.support.openai_server import OpenAIServer
from tests.support.tiny_run import overrides, write_documents

QUERY, PASSAGE = "How do I clean the kiln?", "Kiln > Cleaning\nStop the kiln, then clean it."


def example() -> str:
    """Return the code in the docstring of the package: its indented lines."""
    lines = str(inspect.getdoc(embedtune)).splitlines()
    return textwrap.dedent("\n".join(line for line in lines if line.startswith("    ") or not line))


@pytest.fixture(scope="module")
def after_example(tmp_path_factory):
    """A directory in which the example was run, and what it printed."""
    folder = tmp_path_factory.mktemp("notebook")
    write_documents(folder / "docs")
    with OpenAIServer() as server:
        settings = overrides(folder, server.url).splitlines()
        config = embedtune.load_config("minilm", settings)
        (folder / "embedtune.yaml").write_text(yaml.safe_dump(config.model_dump()))
        done = subprocess.run(
            [sys.executable, "-c", example()], cwd=folder, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_example_prints_the_stages_the_verdict_a_similarity_and_counts(after_example):
    folder, printed = after_example
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines[:6]] == list(STAGE_NAMES[:6])
    verdict = embedtune.read_record(folder / "work" / "evaluation" / "verdict.json", embedtune.VerdictRecord)
    assert lines[6] == f"{verdict.verdict} {verdict.delta}"
    similarity = float(lines[7].strip("[]"))
    assert -1 <= similarity <= 1
    assert (folder / "work" / "report.html").is_file()
    counts = embedtune.read_manifest(folder / "triplets", "triplets").counts
    assert counts["rows"] > 0 and lines[8] == str(counts)


def test_a_model_applies_its_contract(after_example):
    folder, _ = after_example
    model = embedtune.open_model(folder / "work" / "model")
    for vectors in (model.encode_queries([QUERY, QUERY]), model.encode_passages([PASSAGE, QUERY])):
        assert vectors.shape == (2, model.contract.dimensions[0])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    contract = model.contract.model_copy(update={"query_prefix": "another prefix: "})
    other = type(model.encoder)(model.path, contract, embedtune.load_config("minilm").runtime)
    different = other.encode_queries([QUERY], embedtune.SilentProgress())
    assert not np.allclose(different, model.encode_queries([QUERY]), atol=1e-3)


def test_a_model_that_was_changed_is_refused(after_example, tmp_path):
    folder, _ = after_example
    copy = tmp_path / "model"
    subprocess.run(["cp", "-r", folder / "work" / "model", copy], check=True)
    (copy / "modules.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"modules\.json was changed"):
        embedtune.open_model(copy)


def test_a_directory_without_a_contract_is_refused(tmp_path):
    with pytest.raises(ContractError):
        embedtune.open_model(tmp_path)


def test_the_context_takes_credentials_and_the_llm_endpoint_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    context = embedtune.open_context(tmp_path)
    assert context.secrets.llm_api_key == "hunter2"
    assert context.config.generate.llm.base_url == "http://127.0.0.1:9/v1"
    assert context.cache == tmp_path / "cache"


def test_a_run_is_refused_as_on_the_command_line(tmp_path):
    with pytest.raises(ConfigError, match="there is no stage to run"):
        embedtune.run(None, tmp_path, first="train", last="mine")


@pytest.mark.parametrize("name", embedtune.__all__)
def test_every_public_name_exists_and_is_documented(name):
    assert inspect.getdoc(getattr(embedtune, name))
    assert name in dir(embedtune)


def test_the_names_for_type_checkers_are_those_that_are_imported():
    tree = ast.parse(Path(embedtune.__file__).read_text())
    (block,) = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = {
        alias.asname or alias.name: f"{node.module}:{alias.name}" if alias.asname else str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == embedtune._HOMES
    assert embedtune.__all__ == list(embedtune._HOMES) == sorted(seen)


def test_there_is_a_function_for_each_stage():
    assert {f"run_{stage}" for stage in STAGE_NAMES} <= set(embedtune.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        embedtune.runn  # noqa: B018


def test_importing_the_package_imports_nothing_else():
    code = (
        "import sys, embedtune; print([m for m in sys.modules if m.startswith(('embedtune.', 'torch', 'numpy'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_module_of_the_same_name_as_a_stage_is_still_the_package():
    code = "import embedtune; from embedtune import mine; embedtune.run_mine; print(mine.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "embedtune.mine"
