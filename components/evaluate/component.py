"""Stage evaluate as a KFP component."""

from kfp import dsl


@dsl.component(base_image="embedtune/gpu", install_kfp_package=False)
def evaluate(
    config_yaml: str,
    eval_sets: str,
    champion: str,
    comparisons_version: str,
    deploy_if: str,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    cache_dir: str = "",
) -> bool:
    """Compare the tuned model with the base, BM25 and the live model, and give the verdict.

    Args:
        config_yaml: Configuration of the stage as YAML text, from prepare.
        eval_sets: Further evaluation sets, NAME=s3://bucket/prefix, one a line; the first one decides.
        champion: Model that is live now, s3://bucket/prefix, or empty.
        comparisons_version: Changes when eval_sets or champion do, so that KFP's cache notices.
        deploy_if: The worst verdict that is deployed, win or marginal, or never.
        dataset: What split wrote.
        model: What train wrote.
        evaluation: Metrics, metrics of each query, and the verdict.
        metrics: The figures of the stage.
        summary: The figures and warnings of the stage, to read.
        cache_dir: Directory that outlives the pod, for embeddings; empty: a temporary one.

    Returns:
        Whether the model goes on to export and deploy.
    """
    from pathlib import Path

    from components.body import open_context, show
    from components.inputs import comparisons
    from embedtune.deploy.gate import accepts
    from embedtune.evaluate import stage

    with open_context(config_yaml, cache_dir) as context:
        against = comparisons(eval_sets, champion, context)
        report = stage.run(Path(dataset.path), Path(model.path), Path(evaluation.path), context, against)
    show(report, metrics, summary)
    return deploy_if != "never" and accepts(Path(evaluation.path), deploy_if)
