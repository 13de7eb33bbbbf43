"""One command per stage; inputs and output are given explicitly."""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from embedtune.cli import views
from embedtune.cli.cost import confirm_cost
from embedtune.cli.help_layout import examples
from embedtune.cli.options import (
    FOLDER,
    Options,
    build_config,
    build_job,
    config_options,
    evaluation_options,
    output_options,
    yes_option,
)
from embedtune.cli.reporting import err, reporting, show
from embedtune.core.stage import STAGES, Context, StageSpec
from embedtune.local.runner import check_stage, run_stage
from embedtune.local.track import tracking_of

# The first line is what `embedtune --help` shows.
STAGE_HELP = {
    "ingest": """Read documents and cut them into chunks.

    DOCS is a folder or s3://bucket/prefix. Every chunk is assigned to train, dev or test here.""",
    "generate": """Write and judge questions with an LLM.

    Questions that are not good enough are rejected. If interrupted, run it again to resume: no LLM call
    is paid for twice.""",
    "split": """Build the dataset and check it for leaks.

    The dataset is written in BEIR format. The stage fails if anything leaks between train, dev and test.""",
    "mine": """Mine hard negatives for the train questions.

    Hard negatives are passages that the base model ranks high although they do not answer the question.""",
    "train": """Fine-tune the base model.

    Keeps the last checkpoint, unless an earlier one is clearly better on the dev split. If interrupted, run it
    again to resume.""",
    "evaluate": """Compare the tuned model, its base and BM25.

    Writes the metrics and the verdict: WIN, MARGINAL or REGRESSION.""",
    "export": """Build and check an ONNX or TensorRT engine.

    The engine must reproduce the vectors of the model, or the stage fails.""",
    "deploy": """Publish a release; go live if it is better.

    The engine goes live only if its model is better than the live model, and once every replica has proven that it
    returns the trained vectors.""",
}
STAGE_EXAMPLES = {
    "ingest": (
        "embedtune ingest docs --output work/chunks",
        "embedtune ingest s3://bucket/manuals --output work/chunks --set ingest.max_words=300",
    ),
    "generate": (
        "embedtune generate --chunks work/chunks --output work/questions",
        "embedtune generate --chunks work/chunks --output work/questions --config embedtune.yaml --yes",
    ),
    "split": (
        "embedtune split --chunks work/chunks --questions work/questions --output work/dataset",
        "embedtune split --chunks work/chunks --questions work/questions --output work/dataset --json",
    ),
    "mine": (
        "embedtune mine --dataset work/dataset --output work/triplets",
        "embedtune mine --dataset work/dataset --output work/triplets --set mine.negatives=8",
    ),
    "train": (
        "embedtune train --triplets work/triplets --dataset work/dataset --output work/model",
        "embedtune train --triplets work/triplets --dataset work/dataset --output work/model --set train.epochs=2",
    ),
    "evaluate": (
        "embedtune evaluate --dataset work/dataset --model work/model --output work/evaluation",
        "embedtune evaluate --dataset work/dataset --model work/model --output work/evaluation"
        " --eval-set support=support",
    ),
    "export": (
        "embedtune export --model work/model --dataset work/dataset --output work/engine",
        "embedtune export --model work/model --dataset work/dataset --output work/engine"
        " --set export.precision=int8",
    ),
    "deploy": (
        "embedtune deploy --engine work/engine --evaluation work/evaluation --dataset work/dataset"
        " --model work/model --output work/deployment",
        "embedtune deploy --engine work/engine --evaluation work/evaluation --dataset work/dataset"
        " --model work/model --output work/deployment --config embedtune.yaml",
    ),
}


def stage_command(stage: StageSpec) -> click.Command:
    """Return the command of one stage; each of its inputs becomes a required option."""

    def body(**options: Any) -> None:
        _run(stage, options)

    command: Callable[..., Any] = config_options(output_options(body))
    if stage.name == "evaluate":
        command = evaluation_options(command)
    if stage.name == "generate":
        command = yes_option(command)
    command = click.option("--cache", type=FOLDER, help="Cache directory. [default: cache next to --output]")(
        command
    )
    command = click.option(
        "--output", required=True, type=FOLDER, help=f"Directory to write the {stage.artifact} artifact to."
    )(command)
    for name in reversed(stage.inputs):
        command = click.option(
            f"--{name}", required=True, type=FOLDER, help=f"Directory of the {name} artifact to read."
        )(command)
    if stage.name == "ingest":
        command = click.argument("docs")(command)
    return click.command(stage.name, help=STAGE_HELP[stage.name], epilog=examples(*STAGE_EXAMPLES[stage.name]))(
        command
    )


def _run(stage: StageSpec, options: Options) -> None:
    """Run one stage on the directories that its options name."""
    with reporting(options["verbose"]) as progress:
        output: Path = options["output"]
        job = build_job(options.get("docs"), output.parent, build_config(options, os.environ), options, os.environ)
        at = {name: options[name] for name in stage.inputs} | {stage.artifact: output}
        cache = options["cache"] or output.parent / "cache"
        check_stage(stage.name, job, Context(job.config, job.secrets, progress, cache))
        context = Context(job.config, job.secrets, progress, cache, tracking_of(job.config, job.work))
        if stage.name == "generate" and not options["yes"]:
            confirm_cost(at["chunks"], context)
        done = run_stage(stage.name, at, context, job.source, job.comparisons)
    show(asdict(done), options["as_json"], lambda: err.print(views.stage_line(done), soft_wrap=True))
    if stage.name == "deploy" and not options["as_json"]:
        from embedtune.cli.served import say_how_to_use

        say_how_to_use(done, job.config, os.environ)


STAGE_COMMANDS = tuple(stage_command(stage) for stage in STAGES)
