"""The pipeline: from documents to a tuned and evaluated model, which goes live if it is better."""

from collections.abc import Callable, Mapping
from typing import Any

from kfp import dsl

from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.export.component import export
from components.generate.component import generate
from components.ingest.component import ingest
from components.mine.component import mine
from components.prepare.component import prepare
from components.report.component import report
from components.split.component import split
from components.train.component import train
from pipelines.resources import NEEDS, Target, place

COMPONENTS = {
    "prepare": prepare,
    "ingest": ingest,
    "generate": generate,
    "split": split,
    "mine": mine,
    "train": train,
    "evaluate": evaluate,
    "export": export,
    "deploy": deploy,
    "report": report,
}
MakeTask = Callable[..., dsl.PipelineTask]
Outputs = Mapping[str, Any]  # KFP's channels, which have no type
PRESETS = {"gpu": "llama-embed-1b", "cpu": "minilm"}


def finetune(target: Target) -> Any:  # KFP's decorator does not say what it returns
    """Return the pipeline for a kind of cluster, as KFP compiles and runs it.

    Args:
        target: The kind of cluster.
    """

    def task(name: str, **arguments: Any) -> dsl.PipelineTask:
        if NEEDS[target.kind][name].cache:
            arguments["cache_dir"] = target.cache_dir
        return place(COMPONENTS[name](**arguments), name, target)

    @dsl.pipeline(
        name=target.name, description="From documents to a tuned and honestly evaluated embedding model."
    )
    def pipeline(
        documents: str,
        config: str = PRESETS[target.kind],
        overrides: str = "",
        eval_sets: str = "",
        champion: str = "",
    ) -> None:
        """Fine-tune an embedding model on a folder of documents.

        Args:
            documents: Folder (on a mounted volume) or s3://bucket/prefix that contains the documents.
            config: Name of a preset, or a complete configuration as YAML text.
            overrides: Changes to the configuration, section.key=value, one per line.
            eval_sets: Additional evaluation sets in the BEIR layout, NAME=s3://bucket/prefix, one per line.
            champion: s3://bucket/prefix of the model that is live now; empty if there is none.
        """
        given = task(
            "prepare",
            documents=documents,
            config=config,
            overrides=overrides,
            eval_sets=eval_sets,
            champion=champion,
        )
        # It reads data outside KFP, so it always runs; the cache keys of the other tasks include what it finds.
        given.set_caching_options(False)
        made = _train_model(task, documents, given.outputs)
        evaluated = _evaluate_model(task, eval_sets, champion, given.outputs, made)
        _deploy_if_better(task, given.outputs, made, evaluated)

    return pipeline


def _train_model(task: MakeTask, documents: str, given: Outputs) -> Outputs:
    """Add the tasks from the documents to the model; return the artifacts that they write, by name."""
    chunks = task(
        "ingest",
        documents=documents,
        documents_version=given["documents_version"],
        config_yaml=given["ingest"],
    ).outputs["chunks"]
    questions = task("generate", config_yaml=given["generate"], chunks=chunks).outputs["questions"]
    dataset = task("split", config_yaml=given["split"], chunks=chunks, questions=questions).outputs["dataset"]
    triplets = task("mine", config_yaml=given["mine"], dataset=dataset).outputs["triplets"]
    model = task("train", config_yaml=given["train"], triplets=triplets, dataset=dataset).outputs["model"]
    return {"chunks": chunks, "questions": questions, "dataset": dataset, "triplets": triplets, "model": model}


def _evaluate_model(
    task: MakeTask, eval_sets: str, champion: str, given: Outputs, made: Outputs
) -> dsl.PipelineTask:
    """Add the evaluation and the report."""
    evaluated = task(
        "evaluate",
        config_yaml=given["evaluate"],
        eval_sets=eval_sets,
        champion=champion,
        comparisons_version=given["comparisons_version"],
        deploy_if=given["deploy_if"],
        dataset=made["dataset"],
        model=made["model"],
    )
    task("report", **made, evaluation=evaluated.outputs["evaluation"])
    return evaluated


def _deploy_if_better(task: MakeTask, given: Outputs, made: Outputs, evaluated: dsl.PipelineTask) -> None:
    """Add export and deploy, which run only if the verdict is accepted."""
    model, dataset, evaluation = made["model"], made["dataset"], evaluated.outputs["evaluation"]
    with dsl.If(evaluated.outputs["Output"] == True, name="better"):  # noqa: E712 - KFP reads the comparison
        engine = task("export", config_yaml=given["export"], model=model, dataset=dataset).outputs["engine"]
        live = task("deploy", config_yaml=given["deploy"], engine=engine, evaluation=evaluation, dataset=dataset)
        # It changes the live service, so it always runs: an earlier result says nothing about what is live now.
        live.set_caching_options(False)
