"""Options that several commands share, and how they become a configuration."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from embedtune.core.comparisons import Comparisons
from embedtune.core.config.config import Config
from embedtune.core.config.load import load_config, preset_names
from embedtune.core.errors import ConfigError
from embedtune.core.secrets import Secrets, secrets_from
from embedtune.core.stage import STAGE_NAMES, StageSpec
from embedtune.local.runner import LAST, Job

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(file_okay=False, path_type=Path)
STAGE_HELP = {
    "ingest": "Read DOCS and cut them into chunks.",
    "generate": "Have an LLM write and judge questions about the chunks.",
    "split": "Build the retrieval dataset and prove that nothing leaks.",
    "mine": "Mine hard negatives for the train queries.",
    "train": "Fine-tune the base model.",
    "evaluate": "Compare the tuned model with the base and BM25.",
    "export": "Turn the model into an ONNX or TensorRT engine, and prove that it gives the same vectors.",
    "deploy": "Publish the engine as a release and make it live, if its model is better than what is live.",
}


def config_options(command: Command) -> Command:
    """Add --preset, --config and --set."""
    for option in (
        click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting."),
        click.option(
            "--config", "config_file", type=click.Path(dir_okay=False, path_type=Path), help="YAML file."
        ),
        click.option("--preset", help=f"A shipped configuration: {', '.join(preset_names())}. [default: minilm]"),
    ):
        command = option(command)
    return command


def output_options(command: Command) -> Command:
    """Add --json and --verbose."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Log details of libraries too."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."),
    ):
        command = option(command)
    return command


def work_option(default: str | None = "work") -> Callable[[Command], Command]:
    """Return the --work option."""
    return click.option(
        "--work",
        type=FOLDER,
        default=default,
        show_default=True,
        help="Directory for artifacts, cache and report.",
    )


def evaluation_options(command: Command) -> Command:
    """Add --eval-set, --decide-on, --champion and --endpoint."""
    for option in (
        click.option(
            "--endpoint",
            metavar="URL",
            help="Live service to measure too: grpc://host:port (Triton) or http://host:port (gateway).",
        ),
        click.option("--champion", type=FOLDER, help="Model that is live now."),
        click.option("--decide-on", metavar="NAME", help="The set that decides."),
        click.option(
            "--eval-set",
            "eval_sets",
            multiple=True,
            metavar="NAME=DIR",
            help="A further BEIR-format set; the first one decides.",
        ),
    ):
        command = option(command)
    return command


def parse_eval_sets(values: tuple[str, ...]) -> dict[str, Path]:
    """Read NAME=DIR pairs.

    Raises:
        ConfigError: A value is not NAME=DIR, or a name stands twice or is taken.
    """
    sets: dict[str, Path] = {}
    for value in values:
        name, separator, directory = value.partition("=")
        if not separator or not name or not directory:
            raise ConfigError("not an evaluation set", got=value, expected="--eval-set NAME=DIR")
        if name in sets or name == "synthetic":
            raise ConfigError("the name of an evaluation set is taken", got=name, fix="choose another name")
        sets[name] = Path(directory)
    return sets


def stage_command(stage: StageSpec, execute: Callable[[StageSpec, dict[str, Any]], None]) -> click.Command:
    """Return the command of one stage: inputs and output are named explicitly.

    Args:
        stage: Its inputs become required options; documents are an argument.
        execute: Runs the stage with the parsed options.
    """

    def body(**options: Any) -> None:
        execute(stage, options)

    command: Callable[..., Any] = output_options(config_options(body))
    if stage.name == "evaluate":
        command = evaluation_options(command)
    if stage.name == "generate":
        command = click.option("--yes", is_flag=True, help="Spend without asking.")(command)
    command = click.option("--cache", type=FOLDER, help="Cache directory. [default: cache beside --output]")(
        command
    )
    command = click.option(
        "--output", required=True, type=FOLDER, help=f"Where the {stage.artifact} shall stand."
    )(command)
    for name in reversed(stage.inputs):
        command = click.option(f"--{name}", required=True, type=FOLDER, help=f"The {name} artifact to read.")(
            command
        )
    if stage.name == "ingest":
        command = click.argument("docs")(command)
    return click.command(stage.name, help=STAGE_HELP[stage.name])(command)


def build_config(options: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    """Return the configuration that the options of a command mean.

    Args:
        options: Parsed options.
        environment: OPENAI_BASE_URL is where the LLM is looked for when the configuration does not say.

    Raises:
        ConfigError: Two configurations are named, or the one that is named is not valid.
    """
    if options.get("preset") and options.get("config_file"):
        raise ConfigError("two configurations", got="--preset and --config", expected="one of them")
    overrides = list(options.get("overrides") or ())
    overrides += [f"ingest.limit={options['limit']}"] if options.get("limit") else []
    overrides += [f"evaluate.decide_on={options['decide_on']}"] if options.get("decide_on") else []
    config = load_config(str(options.get("preset") or options.get("config_file") or "minilm"), overrides)
    base_url = environment.get("OPENAI_BASE_URL")
    if not base_url or config.generate.llm.base_url is not None:
        return config
    llm = config.generate.llm.model_copy(update={"base_url": base_url})
    return config.model_copy(update={"generate": config.generate.model_copy(update={"llm": llm})})


def secrets_of(config: Config, environment: Mapping[str, str]) -> Secrets:
    """Return the credentials that a configuration names, from the environment."""
    judge = config.generate.judge or config.generate.llm
    return secrets_from(
        environment, llm_key_name=config.generate.llm.api_key_env, judge_key_name=judge.api_key_env
    )


def build_job(
    docs: str | None, work: Path, config: Config, options: Mapping[str, Any], environment: Mapping[str, str]
) -> Job:
    """Return the job that the options of a command mean."""
    return Job(
        work=work,
        config=config,
        secrets=secrets_of(config, environment),
        source=docs,
        dataset=options.get("dataset"),
        first=options.get("first") or STAGE_NAMES[0],
        last=options.get("last") or LAST,
        force=bool(options.get("force")),
        comparisons=Comparisons(
            parse_eval_sets(options.get("eval_sets") or ()), options.get("champion"), options.get("endpoint")
        ),
    )
