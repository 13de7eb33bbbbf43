"""Every command in the documents is run here, covered by a named test, or listed as not run with the reason.

In addition, each `embedtune` command, each option and each `--set` key that the documents name has to exist.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path

import click
import pytest
import yaml

from embedtune.cli import cli
from embedtune.core.config.config import Config
from embedtune.serve.gateway.__main__ import main as gateway
from pipelines.compile import main as compile_pipelines
from pipelines.sizing import main as sizing
from pipelines.specification import COMPILED, load_specification
from tests.support.markdown import ROOT, blocks, commands, documents, spans, words

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class Run:
    """Run here.

    Args:
        check: Runs the command.
    """

    check: Callable[[str, Path], None]


@dataclass(frozen=True)
class Covered:
    """Run by another test.

    Args:
        file: Its file.
        word: Part of its name.

    The file of one that runs a command of embedtune must contain the command's words as arguments.
    """

    file: str
    word: str


@dataclass(frozen=True)
class NotRun:
    """Not run by any test; its options are checked all the same."""

    reason: str


def run_in_a_folder(command: str, folder: Path) -> None:
    shell = f"PATH={Path(sys.executable).parent}:$PATH; {command}"
    done = subprocess.run(["bash", "-c", shell], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def run_beside_the_documents(command: str, folder: Path) -> None:
    for name in ("DOCS", "docs/examples/tickets"):
        shutil.copytree(ROOT / "docs" / "examples" / "tickets", folder / name)
    run_in_a_folder(command, folder)


def run_in_a_folder_with_a_key(command: str, folder: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    made = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(folder / "key.pem")]
    subprocess.run(made, check=True, capture_output=True)
    run_in_a_folder(command, folder)


def print_completion(command: str, folder: Path) -> None:
    (shell,) = re.findall(r"_EMBEDTUNE_COMPLETE=(\w+)_source embedtune", command)
    program = Path(sys.executable).with_name("embedtune")
    variables = {**os.environ, "_EMBEDTUNE_COMPLETE": f"{shell}_source"}
    done = subprocess.run([program], env=variables, capture_output=True, text=True, check=True)
    assert "_EMBEDTUNE_COMPLETE" in done.stdout
    if shell == "bash":  # the others may not be installed
        run_in_a_folder(command, folder)


def is_a_make_target(command: str, _: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    words = [word for word in command.split()[1:] if "=" not in word]  # the others are variables
    assert set(words) <= targets


CLUSTER = Covered("tests/cluster/test_rollout.py", "release")
# By the beginning of a command; the longest one that fits counts.
TABLE: dict[str, Run | Covered | NotRun] = {
    "make ": Run(is_a_make_target),
    "source .venv/bin/activate": NotRun("changes the reader's shell"),
    'eval "$(_EMBEDTUNE_COMPLETE=': Run(print_completion),
    "_EMBEDTUNE_COMPLETE=": Run(print_completion),
    "embedtune init D": Run(run_beside_the_documents),
    "embedtune init docs/": Run(run_beside_the_documents),
    "embedtune init": Run(run_in_a_folder),
    "embedtune local-llm": NotRun("runs until Ctrl-C, and needs a model"),
    "embedtune config show": Run(run_in_a_folder),
    "embedtune run": Covered("tests/e2e/test_interrupted_run.py", "run"),
    "embedtune demo": NotRun("takes ten minutes; the figures in the README come from it"),
    "embedtune estimate": Covered("tests/cli/test_cli.py", "estimate"),
    "embedtune bases": Covered("tests/cli/test_bases_command.py", "own_set"),
    "embedtune doctor": Covered("tests/cli/test_cli.py", "doctor"),
    "embedtune status": Covered("tests/local/test_status.py", "command"),
    "embedtune compare": Covered("tests/local/test_compare.py", "command"),
    "pip install matplotlib jupyterlab": NotRun("needs a package index"),
    "pip install xllamacpp": NotRun("needs a package index"),
    "pip install openai qdrant-client": NotRun("needs a package index"),
    "jupyter lab": NotRun("runs until Ctrl-C; tests/docs/test_examples.py executes the notebook"),
    "python docs/examples/rag/rag.py": NotRun("needs a gateway; tests/docs/test_examples.py calls its functions"),
    "pip install 'embedtune[": NotRun(
        "needs a package index; tests/core/test_extras.py checks the names of extras"
    ),
    "tensorboard --logdir": NotRun("runs until Ctrl-C; tests/tracking reads its files"),
    "embedtune clean": Covered("tests/local/test_outside.py", "command"),
    "uv build --wheel": Covered("tests/test_wheel.py", "every_file"),
    'pip install "$(ls dist/*.whl)[demo]"': NotRun("installs the wheel; needs a package index"),
    "embedtune curve": Covered("tests/local/curve/test_curve.py", "command"),
    "embedtune questions": Covered("tests/local/test_questions.py", "command"),
    "embedtune forget": Covered("tests/local/test_forget_feedback.py", "command"),
    "embedtune push": Covered("tests/cli/test_push_command.py", "shows"),
    "embedtune search": Covered("tests/local/test_search_index.py", "command"),
    "embedtune eval-set": Covered("tests/docs/test_eval_sets.py", "documented"),
    "embedtune export": Covered("tests/cli/test_stage_commands.py", "export"),
    "embedtune deploy": Covered("tests/deploy/test_deploy_local.py", "better_model"),
    "embedtune release list": Covered("tests/deploy/test_deploy_local.py", "switch"),
    "embedtune release flip": Covered("tests/deploy/test_deploy_local.py", "flipping"),
    "embedtune release save": Covered("tests/serve/store/test_image.py", "command"),
    "printf": NotRun("writes two lines"),
    "buildah": NotRun("needs a registry"),
    "embedtune release rollback": Covered("tests/deploy/test_deploy_local.py", "switch"),
    "embedtune reindex": Covered("tests/deploy/test_deploy_local.py", "corpus"),
    "embedtune gateway": Covered("tests/serve/gateway/test_operations.py", "subcommand"),
    "embedtune pipeline": Covered("tests/pipelines/test_cli.py", "endpoint"),
    ".venv/bin/python -m pytest": NotRun("runs tests"),
    "curl -s": Covered("tests/serve/gateway/test_documented_clients.py", "curl"),
    "images/build": Covered("tests/images/test_build_script.py", "index"),
    "BASE_IMAGE=": Covered("tests/images/test_build_script.py", "index"),
    "kubectl": NotRun("needs a cluster; the cluster tests create the same objects"),
    "helm install": CLUSTER,
    "helm install embedtune charts/embedtune": NotRun(
        "needs a KFP; tests/charts/embedtune renders the same objects"
    ),
    "python gitops/propose_release.py": Covered("tests/charts/embedtune/test_propose_release.py", "branch"),
    "helm test": Covered("tests/cluster/test_rollout.py", "helm_test"),
    "openssl ": Run(run_in_a_folder_with_a_key),
    "export ": NotRun("sets variables for the next command"),
}


def found() -> list[tuple[str, str]]:
    return [(block.place, line) for path in documents() for block in blocks(path) for line in commands(block)]


def entry(command: str) -> str:
    """Return the key of the table that a command falls under."""
    fits = [key for key in TABLE if command.startswith(key)]
    assert fits, f"not in the table of tests/docs/test_commands.py: {command}"
    return max(fits, key=len)


@pytest.mark.parametrize(("place", "command"), found())
def test_a_command_is_run_or_covered_or_listed(place: str, command: str, tmp_path: Path) -> None:
    how = TABLE[entry(command)]
    if isinstance(how, Run):
        how.check(command, tmp_path)


def test_the_table_lists_nothing_that_no_document_has() -> None:
    assert TABLE.keys() - {entry(command) for _, command in found()} == set()


@pytest.mark.parametrize("key", [key for key, how in TABLE.items() if isinstance(how, Covered)])
def test_the_covering_test_exists(key: str) -> None:
    how = TABLE[key]
    assert isinstance(how, Covered)
    tree = ast.parse((ROOT / how.file).read_text(encoding="utf-8"))
    names = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert any(name.startswith("test_") and how.word in name for name in names), names
    if key.startswith("embedtune "):
        command = tuple(key.split()[1:])
        given = written_arguments(tree)
        assert any(run[: len(command)] == command for run in given), f"{how.file} never runs {key}"


def written_arguments(tree: ast.Module) -> Iterator[tuple[str, ...]]:
    """Return each run of consecutive strings in a call, a list or a tuple, and its tails."""
    for node in ast.walk(tree):
        parts = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
        texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
        for start in range(len(texts)):
            yield tuple(takewhile(lambda text: isinstance(text, str), texts[start:]))


def mentioned() -> list[tuple[str, str]]:
    """Return every embedtune command that a document names, in a block or in its prose."""
    ours = r"(embedtune|python -m (embedtune|pipelines)[\w.]*)( |$)"
    inline = [
        (str(path.relative_to(ROOT)), text)
        for path in documents()
        for span in spans(path)
        for text in alternatives(span)
        if re.match(ours, text) and "<" not in text
    ]
    return sorted({*inline, *((place, line) for place, line in found() if re.match(ours, line))})


def alternatives(span: str) -> Iterator[str]:
    """Write `release list|show` out as two commands."""
    text = span.replace("\\|", "|")
    match = re.search(r"\b[\w-]+(\|[\w-]+)+", text)
    if match is None:
        yield text
    else:
        yield from (text[: match.start()] + word + text[match.end() :] for word in match[0].split("|"))


@pytest.mark.parametrize(("place", "command"), mentioned())
def test_commands_options_and_settings_exist(place: str, command: str) -> None:
    given = words(command)
    if given[0] == "python":
        modules = {
            "embedtune.serve.gateway": gateway,
            "pipelines.compile": compile_pipelines,
            "pipelines.sizing": sizing,
        }
        modules |= {"embedtune": cli, "embedtune.cli.reference": reference()}
        program, rest = modules[given[2]], given[3:]
    else:
        program, rest = cli, given[1:]
    while isinstance(program, click.Group) and rest and not rest[0].startswith("-"):
        name, *rest = rest
        context = click.Context(program)
        assert name in program.list_commands(context), f"{place}: no command {name}"
        found_command = program.get_command(context, name)
        assert found_command is not None
        program = found_command
    known = {text for parameter in program.params for text in parameter.opts} | {"--help", "-h"}
    unknown = [word for word in rest if word.startswith("-") and word.partition("=")[0] not in known]
    assert unknown == [], f"{place}: {unknown}"
    for option, value in pairwise(rest):
        if option == "--set" and given[:2] != ["embedtune", "pipeline"]:
            require_setting(value.partition("=")[0])
        elif option == "--set":
            assert value.partition("=")[0] in load_specification(COMPILED / "finetune-cpu.yaml").parameters, place


def reference() -> click.Command:
    from embedtune.cli.reference.__main__ import main

    return main


def require_setting(key: str) -> None:
    section, *names = key.split(".")
    model = Config.model_fields[section].annotation
    for name in names:
        fields = getattr(model, "model_fields", {})
        assert name in fields, f"there is no setting {key}"
        model = fields[name].annotation


def test_helm_commands_name_values_that_the_chart_has() -> None:
    checked = 0
    for _, command in found():
        if not command.startswith("helm install"):
            continue
        given = words(command)
        (chart,) = [ROOT / word for word in given if word.startswith("charts/") and (ROOT / word).is_dir()]
        values = yaml.safe_load((chart / "values.yaml").read_text())
        for option, value in pairwise(given):
            if option == "--set":
                here = values
                for name in value.partition("=")[0].split("."):
                    here = here[name]
                checked += 1
            elif option == "-f":
                assert (ROOT / value).is_file()
    assert checked > 0


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_python_blocks_are_valid_python(path: Path) -> None:
    for block in blocks(path):
        if block.language == "python":
            ast.parse(block.text, block.place)
