"""Options that several commands share, and how they become a configuration and a job."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from embedtune.core.comparisons import Comparisons, parse_eval_sets
from embedtune.core.config.config import Config
from embedtune.core.config.load import base_names, load_config, preset_names
from embedtune.core.errors import ConfigError
from embedtune.core.secrets import secrets_of
from embedtune.core.stage import STAGE_NAMES
from embedtune.core.suggestions import did_you_mean
from embedtune.local.environment import apply_environment
from embedtune.local.runner import LAST, Job

# The parsed options of a command have the types that click gives them, which mypy cannot know: hence Any.
Command = TypeVar("Command", bound=Callable[..., Any])
Options = Mapping[str, Any]

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
DEFAULT_PRESET = "minilm"


class OneOf(click.Choice[str]):
    """A choice of names; for a misspelt name, the error suggests the one that was probably meant."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        """Return the message for a name that is not among the choices."""
        message = super().get_invalid_choice_message(value, ctx)
        similar = did_you_mean(str(value), self.choices)
        return f"{message} {similar[0].upper()}{similar[1:]}" if similar else message


STAGE = OneOf(STAGE_NAMES)
PRESET = OneOf(preset_names())
BASE = OneOf(base_names())


def config_options(command: Command) -> Command:
    """Add --preset, --base, --config and --set."""
    base = click.option(
        "--base",
        type=BASE,
        metavar="NAME",
        help=f"Base model in place of the preset's: {', '.join(base_names())}. For others: embedtune init --base.",
    )
    return _preset_option(base(_file_options(command)))


def settings_options(command: Command) -> Command:
    """Add --preset, --config and --set."""
    return _preset_option(_file_options(command))


def _preset_option(command: Command) -> Command:
    return click.option(
        "--preset",
        type=PRESET,
        metavar="NAME",
        help=f"Shipped configuration: {', '.join(preset_names())}. [default: {DEFAULT_PRESET}]",
    )(command)


def _file_options(command: Command) -> Command:
    for option in (
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="SECTION.KEY=VALUE",
            help="Change a setting; may be given several times.",
        ),
        click.option(
            "--config",
            "config_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Configuration file (YAML).",
        ),
    ):
        command = option(command)
    return command


def output_options(command: Command) -> Command:
    """Add --json and --verbose."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Show detailed logs, including those of libraries."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."),
    ):
        command = option(command)
    return command


def work_option(default: str = "work") -> Callable[[Command], Command]:
    """Return the --work option."""
    return click.option(
        "--work",
        type=FOLDER,
        default=default,
        show_default=True,
        help="Directory for artifacts, cache and report.",
    )


def last_stage_option(command: Command) -> Command:
    """Add --to."""
    return click.option(
        "--to",
        "last",
        type=STAGE,
        metavar="STAGE",
        default=LAST,
        show_default=True,
        help=f"Last stage to run: {', '.join(STAGE_NAMES)}.",
    )(command)


def limit_option(command: Command) -> Command:
    """Add --limit."""
    return click.option(
        "--limit", metavar="N", type=click.IntRange(min=1), help="Read only the first N documents."
    )(command)


def yes_option(command: Command) -> Command:
    """Add --yes."""
    return click.option("--yes", is_flag=True, help="Pay for LLM calls without asking first.")(command)


def evaluation_options(command: Command) -> Command:
    """Add --eval-set, --decide-on, --champion and --endpoint."""
    for option in (
        click.option(
            "--endpoint",
            metavar="URL",
            help="Live service to measure as well: grpc://host:port (Triton) or http://host:port (gateway).",
        ),
        click.option("--champion", type=FOLDER, help="Model directory to compare with. [default: the live one]"),
        click.option("--decide-on", metavar="NAME", help="Evaluation set that decides the verdict."),
        click.option(
            "--eval-set",
            "eval_sets",
            multiple=True,
            metavar="NAME=DIR",
            help="An additional test set in BEIR format. The first one decides the verdict by default.",
        ),
    ):
        command = option(command)
    return command


def build_config(options: Options, environment: Mapping[str, str]) -> Config:
    """Return the configuration that the options of a command describe.

    Args:
        options: Parsed options.
        environment: Usually `os.environ`.

    Raises:
        ConfigError: A preset or a base model is given together with a file, or the configuration is not valid.
    """
    base = options.get("base")
    if options.get("preset") and options.get("config_file"):
        raise ConfigError("two configurations were given", got="--preset and --config", expected="one of them")
    if base and options.get("config_file"):
        raise ConfigError(
            "a configuration file has its own contract",
            got="--base and --config",
            expected="--base with --preset",
            fix=f"write a file for this base model: embedtune init DOCS --base {base}",
        )
    source, overrides = config_source(options)
    return apply_environment(load_config(source, overrides), environment)


def config_source(options: Options) -> tuple[str, list[str]]:
    """Return the preset or file that the options of a command name, and the changes to it."""
    base = options.get("base")
    overrides = list(options.get("overrides") or ())
    overrides += [f"ingest.limit={options['limit']}"] if options.get("limit") else []
    overrides += [f"evaluate.decide_on={options['decide_on']}"] if options.get("decide_on") else []
    source = str(options.get("preset") or options.get("config_file") or DEFAULT_PRESET)
    return (f"{source}+{base}" if base else source), overrides


def build_job(
    docs: str | None, work: Path, config: Config, options: Options, environment: Mapping[str, str]
) -> Job:
    """Return the job that the options of a command describe."""
    sets = parse_eval_sets(options.get("eval_sets") or (), expected="--eval-set NAME=DIR")
    return Job(
        work=work,
        config=config,
        secrets=secrets_of(config.generate, environment),
        source=docs,
        dataset=options.get("dataset"),
        first=options.get("first") or STAGE_NAMES[0],
        last=options.get("last") or LAST,
        force=bool(options.get("force")),
        comparisons=Comparisons(
            {name: Path(folder) for name, folder in sets.items()},
            options.get("champion"),
            options.get("endpoint"),
        ),
    )
