"""The help of every command: order, sections, one-line descriptions, examples that parse, and suggestions."""

import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner, Result

from embedtune.cli import cli
from embedtune.cli.help_layout import HELP_LINE
from embedtune.cli.reporting import EXIT_CODES
from embedtune.core.config.load import load_config
from embedtune.core.stage import STAGE_NAMES

SECTIONS = {
    "Start": [
        *["demo", "init", "config", "local-llm", "doctor", "estimate"],
        *["bases", "run", "status", "report", "compare", "curve"],
    ],
    "Stages": list(STAGE_NAMES),
    "Serve": ["push", "release", "serve", "gateway", "search", "reindex"],
    "Data": ["questions", "eval-set", "record", "forget", "clean"],
    "Kubeflow": ["pipeline"],
}
RELEASE_COMMANDS = ["list", "show", "save", "promote", "flip", "rollback", "prune", "delete", "stop"]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), prog_name="embedtune", terminal_width=80)


def all_commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))


COMMANDS = dict(all_commands(cli))
every_command = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


@pytest.fixture
def folder_of_a_user(tmp_path, monkeypatch):
    """A working directory with the configuration file that examples name."""
    (tmp_path / "embedtune.yaml").touch()
    monkeypatch.chdir(tmp_path)


def shown_examples(output: str) -> list[str]:
    """Return the lines below "Examples:"."""
    _, _, after = output.partition("  Examples:\n")
    return [line.strip() for line in after.partition("\n\n")[0].splitlines()]


def test_the_commands_are_listed_in_sections_in_the_order_of_the_work():
    sections: dict[str, list[str]] = {}
    _, _, listed = invoke("--help").output.partition("Show this message and exit.\n\n")
    for line in listed.partition("  Examples:")[0].splitlines():
        if line.endswith(":"):
            names = sections.setdefault(line[:-1], [])
        elif line:
            names.append(line.split()[0])
    assert sections == SECTIONS
    assert list(cli.commands) == [name for names in SECTIONS.values() for name in names]


def test_the_commands_of_release_are_listed_in_the_order_of_the_work():
    lines = invoke("release", "--help").output.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines[: len(RELEASE_COMMANDS)]] == RELEASE_COMMANDS


@every_command
def test_the_description_fits_on_one_line(path):
    shown = invoke(*path[:-1], "--help").output
    (line,) = [line for line in shown.splitlines() if line.strip().startswith(f"{path[-1]} ")]
    description = line.strip().removeprefix(path[-1]).strip()
    assert 10 < len(description) <= HELP_LINE == 45
    assert description.endswith(".") and not description.endswith("...")
    assert invoke(*path, "--help").output.splitlines()[2].strip() == description


@every_command
def test_two_examples_are_shown_as_typed_and_parse(path, folder_of_a_user):
    found = shown_examples(invoke(*path, "--help").output)
    assert len(found) == len(set(found)) == 2
    for example in found:
        program, *words = shlex.split(example)
        assert program == "embedtune" and tuple(words[: len(path)]) == path
        settings = parse(COMMANDS[path], words[len(path) :])
        load_config("minilm", [setting for setting in settings if not setting.startswith("contract.")])


def parse(command: click.Command, words: list[str]) -> tuple[str, ...]:
    """Parse the arguments of a command as click does, sub-commands included, and return its --set values."""
    if isinstance(command, click.Group):
        return parse(command.commands[words[0]], words[1:])
    settings: tuple[str, ...] = command.make_context("example", list(words)).params.get("overrides") or ()
    return settings


def test_the_examples_of_the_program_itself_parse(folder_of_a_user):
    found = shown_examples(invoke("--help").output)
    assert len(found) == 2
    for example in found:
        parse(cli, shlex.split(example)[1:])


def test_an_option_that_does_not_exist_does_not_parse():
    with pytest.raises(click.NoSuchOption):
        parse(cli, ["run", "docs", "--wrok", "work"])


def test_the_help_lists_the_exit_codes_and_shell_completion():
    shown = invoke("--help").output
    assert all(f"    {code:<4} {meaning}\n" in shown for code, meaning in EXIT_CODES.items())
    assert sorted(EXIT_CODES) == [0, 1, 2, 3, 130]
    for shell in ("bash", "zsh", "fish"):
        assert f"_EMBEDTUNE_COMPLETE={shell}_source embedtune" in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_available_for_each_shell(shell):
    result = CliRunner().invoke(
        cli, prog_name="embedtune", env={"_EMBEDTUNE_COMPLETE": f"{shell}_source"}, args=[]
    )
    assert result.exit_code == 0 and "_EMBEDTUNE_COMPLETE" in result.output


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["rum"], "run"),
        (["evalute"], "evaluate"),
        (["local-lm"], "local-llm"),
        (["release", "lst"], "list"),
        (["release", "rolback"], "rollback"),
        (["run", "--from", "mien"], "mine"),
        (["run", "--to", "trian"], "train"),
        (["demo", "--to", "exprot"], "export"),
        (["run", "--preset", "minlm"], "minilm"),
        (["init", "--preset", "demo"], "demo-cpu"),
        (["train", "--dateset", "x"], "--dataset"),
        (["search", "work", "--model", "tunned"], "tuned"),
        (["run", "docs", "--fail-on", "regresion"], "regression"),
    ],
    ids=str,
)
def test_a_misspelt_name_is_answered_with_the_one_that_was_meant(typed, meant):
    result = invoke(*typed)
    assert result.exit_code == 2
    assert "did you mean" in result.output.lower()
    assert meant in result.output.lower().partition("did you mean")[2]


def test_a_misspelt_key_is_answered_with_the_one_that_was_meant(tmp_path):
    result = invoke("doctor", "--work", str(tmp_path), "--set", "train.lerning_rate=1")
    assert result.exit_code == 2 and "did you mean train.learning_rate?" in result.output


def test_a_name_that_is_like_no_other_gets_no_suggestion():
    result = invoke("run", "--to", "zzzzzz")
    assert result.exit_code == 2 and "ingest" in result.output and "mean" not in result.output


def test_a_configuration_file_that_does_not_exist_is_named(tmp_path):
    result = invoke("doctor", "--config", str(tmp_path / "missing.yaml"))
    assert result.exit_code == 2 and "missing.yaml' does not exist" in result.output


def test_a_group_of_commands_does_not_cut_lines_in_a_narrow_terminal() -> None:
    shown = CliRunner().invoke(cli, ["release", "--help"], prog_name="embedtune", terminal_width=44).output
    commands = shown.partition("Commands:")[2]
    assert "Go back to the" in commands and "..." not in commands
