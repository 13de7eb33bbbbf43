"""Stage deploy as a KFP component."""

from kfp import dsl


@dsl.component(base_image="embedtune/cpu", install_kfp_package=False)
def deploy(
    config_yaml: str,
    engine: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    deployment: dsl.Output[dsl.Artifact],
    deploy_summary: dsl.Output[dsl.Markdown],
) -> bool:
    """Publish the engine as a release, and make it live once every replica has proven it.

    Args:
        config_yaml: Configuration of the stage as YAML text, written by prepare.
        engine: The artifact written by export.
        evaluation: The artifact written by evaluate; its verdict decides whether the model may go live.
        dataset: The artifact written by split; the re-index plan needs the size of its corpus.
        model: The artifact written by train, which the release store keeps: the next model is compared with it.
        deployment: The live release, the drift of its endpoint from the checkpoint, and the re-index plan.
        deploy_summary: The figures and warnings of the stage as a page.

    Returns:
        Whether it went live.
    """
    from pathlib import Path

    from components.body import open_context, show
    from embedtune.core.records.base import read_record
    from embedtune.core.records.deployment import DEPLOYMENT_FILE, Deployment
    from embedtune.deploy import stage

    with open_context(config_yaml) as context:
        read = Path(engine.path), Path(evaluation.path), Path(dataset.path), Path(model.path)
        report = stage.run(*read, Path(deployment.path), context)
    show(report, deploy_summary)
    return read_record(Path(deployment.path) / DEPLOYMENT_FILE, Deployment).deployed
