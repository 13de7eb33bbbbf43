"""The pipeline: from documents to a tuned and evaluated model, which goes live if it is better."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kfp import dsl

from components.deploy.component import deploy
from components.encode.component import encode
from components.evaluate.component import evaluate
from components.export.component import export
from components.generate.component import generate
from components.ingest.component import ingest
from components.mine.component import mine
from components.outcome.component import outcome
from components.parameters import DEPLOY_IF, FROM_PRESET
from components.prepare.component import prepare
from components.report.component import report
from components.split.component import split
from components.train.component import train
from embedtune.core.config.load import base_names, preset_names
from pipelines.resources import NEEDS, Target, place

COMPONENTS = {
    "prepare": prepare,
    "ingest": ingest,
    "encode": encode,
    "generate": generate,
    "split": split,
    "mine": mine,
    "train": train,
    "evaluate": evaluate,
    "export": export,
    "deploy": deploy,
    "report": report,
    "outcome": outcome,
}
MakeTask = Callable[..., dsl.PipelineTask]
Outputs = Mapping[str, Any]  # KFP's channels, which have no type
PRESETS = {"gpu": "llama-embed-1b", "cpu": "minilm"}
# KFP's SDK 2.17 has no type for a choice; its specification and its UI, which shows a drop-down, have.
CHOICES = {"preset": preset_names(), "base_model": [FROM_PRESET, *base_names()], "deploy_if": list(DEPLOY_IF)}
DESCRIPTION = (
    "From documents to a tuned and honestly evaluated embedding model, which goes live if it is better. "
    "For a first run fill in: documents (s3://bucket/prefix), llm_url and llm_model (an OpenAI-compatible "
    "endpoint), storage_endpoint (host:port of the object store; empty for Amazon S3) and storage_tls. "
    "Leave the rest as it is: without release_uri nothing is deployed."
)


def finetune(target: Target) -> Any:  # KFP's decorator does not say what it returns
    """Return the pipeline for a kind of cluster, as KFP compiles and runs it.

    Args:
        target: The kind of cluster.
    """
    task = partial(_task, target)

    @dsl.pipeline(name=target.name, description=DESCRIPTION)
    def pipeline(
        documents: str,
        preset: str = PRESETS[target.kind],
        base_model: str = FROM_PRESET,
        llm_url: str = "",
        llm_model: str = "",
        judge_url: str = "",
        judge_model: str = "",
        storage_endpoint: str = "",
        storage_tls: bool = True,
        release_uri: str = "",
        endpoint_url: str = "",
        deploy_if: str = "win",
        champion: str = "",
        eval_sets: list[str] = [],  # noqa: B006 - KFP reads the default and never changes it
        overrides: dict[str, Any] = {},  # noqa: B006
    ) -> None:
        """Fine-tune an embedding model on a folder of documents.

        Args:
            documents: Folder (on a mounted volume) or s3://bucket/prefix that contains the documents.
            preset: The way of working.
            base_model: The model to tune; from-preset: the preset's own.
            llm_url: Base URL of an OpenAI-compatible LLM endpoint, usually ending in /v1; empty: the preset's.
            llm_model: Name of the model there; empty: the preset's.
            judge_url: Base URL of another LLM endpoint that judges; empty: that of llm_url.
            judge_model: Name of the model that judges; empty: llm_model.
            storage_endpoint: host:port of the object store behind s3:// addresses; empty: Amazon S3.
            storage_tls: Whether the object store is called over TLS.
            release_uri: s3://bucket/prefix of the releases; empty: nothing is deployed.
            endpoint_url: Address of the served endpoint, for the deployment's record; empty: as configured.
            deploy_if: Worst verdict that is still deployed.
            champion: s3://bucket/prefix of the model to compare with; empty: the one that is live in release_uri.
            eval_sets: Additional evaluation sets, a list of NAME=s3://bucket/prefix; the first one decides.
            overrides: Further settings, such as {"train.epochs": 5}.
        """
        # Nothing else is local so far.
        fields = {name: value for name, value in locals().items() if name != "task"}
        given = task("prepare", **fields)
        # It reads data outside KFP, so it always runs; the cache keys of the other tasks include what it finds.
        given.set_caching_options(False)
        made, base_vectors = _train_model(task, given.outputs)
        evaluated = _evaluate_model(task, given.outputs, made, base_vectors)
        _deploy_if_better(task, given.outputs, made, evaluated)

    offer_choices(pipeline.pipeline_spec.root.input_definitions.parameters)
    return pipeline


def _task(target: Target, name: str, **arguments: Any) -> dsl.PipelineTask:
    if NEEDS[target.kind][name].cache:
        arguments["cache_dir"] = target.cache_dir
    return place(COMPONENTS[name](**arguments), name, target)


def offer_choices(parameters: Mapping[str, Any]) -> None:
    """Write the choices into the specification of the parameters that have some."""
    for name, choices in CHOICES.items():
        for choice in choices:
            parameters[name].literals.add().string_value = choice


def _train_model(task: MakeTask, given: Outputs) -> tuple[Outputs, Any]:
    """Add the tasks from the documents to the model.

    Returns:
        The artifacts of the stages, by name, and the base model's vectors.
    """
    chunks = task(
        "ingest",
        documents=given["documents"],
        documents_version=given["documents_version"],
        config_yaml=given["ingest"],
    ).outputs["chunks"]
    vectors = task("encode", config_yaml=given["encode"], chunks=chunks).outputs["base_vectors"]
    base = {"base_vectors": vectors}
    questions = task("generate", config_yaml=given["generate"], chunks=chunks, **base).outputs["questions"]
    dataset = task("split", config_yaml=given["split"], chunks=chunks, questions=questions).outputs["dataset"]
    triplets = task("mine", config_yaml=given["mine"], dataset=dataset, **base).outputs["triplets"]
    learnt = {"triplets": triplets, "dataset": dataset}
    model = task("train", config_yaml=given["train"], **learnt, **base).outputs["model"]
    return {"chunks": chunks, "questions": questions, **learnt, "model": model}, vectors


def _evaluate_model(task: MakeTask, given: Outputs, made: Outputs, base_vectors: Any) -> dsl.PipelineTask:
    """Add the evaluation and the report."""
    evaluated = task(
        "evaluate",
        config_yaml=given["evaluate"],
        eval_sets=given["eval_sets"],
        champion=given["champion"],
        comparisons_version=given["comparisons_version"],
        deploy_if=given["deploy_if"],
        dataset=made["dataset"],
        model=made["model"],
        base_vectors=base_vectors,
    )
    task("report", **made, evaluation=evaluated.outputs["evaluation"], deploys=evaluated.outputs["Output"])
    return evaluated


def _deploy_if_better(task: MakeTask, given: Outputs, made: Outputs, evaluated: dsl.PipelineTask) -> None:
    """Add export and deploy, which run only if the verdict is accepted, and the outcome in either case.

    A task outside a condition cannot read what one inside wrote, so there is one outcome per branch.
    """
    model, dataset, evaluation = made["model"], made["dataset"], evaluated.outputs["evaluation"]
    figures = {"questions": made["questions"], "model": model, "evaluation": evaluation}
    with dsl.If(evaluated.outputs["Output"] == True, name="better"):  # noqa: E712 - KFP reads the comparison
        engine = task("export", config_yaml=given["export"], model=model, dataset=dataset).outputs["engine"]
        read = {"engine": engine, "evaluation": evaluation, "dataset": dataset, "model": model}
        live = task("deploy", config_yaml=given["deploy"], **read)
        # It changes the live service, so it always runs: an earlier result says nothing about what is live now.
        live.set_caching_options(False)
        task("outcome", **figures, deployed=live.outputs["Output"])
    with dsl.Else(name="kept"):
        task("outcome", **figures)
