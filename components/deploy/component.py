"""Stage deploy as a KFP component."""

from kfp import dsl


@dsl.component(base_image="embedtune/cpu", install_kfp_package=False)
def deploy(
    config_yaml: str,
    engine: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    dataset: dsl.Input[dsl.Dataset],
    deployment: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Publish the engine as a release, make it live, prove it through the endpoint; else go back.

    Args:
        config_yaml: Configuration of the stage as YAML text, from prepare.
        engine: What export wrote.
        evaluation: What evaluate wrote: may this model go live?
        dataset: What split wrote; the size of its corpus is in the re-index plan.
        deployment: What is live now, the endpoint's drift from the checkpoint, and the re-index plan.
        metrics: The figures of the stage.
        summary: The figures and warnings of the stage, to read.
    """
    from pathlib import Path

    from components.body import open_context, show
    from embedtune.deploy import stage

    with open_context(config_yaml) as context:
        report = stage.run(
            Path(engine.path), Path(evaluation.path), Path(dataset.path), Path(deployment.path), context
        )
    show(report, metrics, summary)
