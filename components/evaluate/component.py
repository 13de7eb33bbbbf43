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
    base_vectors: dsl.Input[dsl.Artifact],
    evaluation: dsl.Output[dsl.Artifact],
    evaluate_summary: dsl.Output[dsl.Markdown],
    cache_dir: str = "",
) -> bool:
    """Compare the tuned model with the base model, BM25 and the live model, and reach a verdict.

    Args:
        config_yaml: Configuration of the stage as YAML text, written by prepare.
        eval_sets: Additional evaluation sets, NAME=s3://bucket/prefix, one per line; the first one decides.
        champion: s3://bucket/prefix of the model that is live now, found by prepare; empty if there is none.
        comparisons_version: Hash that changes with the data of eval_sets and champion, for KFP's cache.
        deploy_if: Worst verdict that is still deployed: win, marginal or never.
        dataset: The artifact written by split.
        model: The artifact written by train.
        base_vectors: The artifact written by encode.
        evaluation: The metrics, overall and per query, and the verdict.
        evaluate_summary: The figures and warnings of the stage as a page.
        cache_dir: Directory that outlives the pod, for embeddings; empty: a temporary directory.

    Returns:
        Whether the model is exported and deployed.
    """
    from pathlib import Path

    from components.body import open_context, show
    from components.inputs import comparisons
    from components.parameters import NEVER
    from embedtune.deploy.gate import goes_on
    from embedtune.evaluate import stage

    with open_context(config_yaml, cache_dir, base_vectors=Path(base_vectors.path)) as context:
        against = comparisons(eval_sets, champion, context)
        report = stage.run(Path(dataset.path), Path(model.path), Path(evaluation.path), context, against)
        decision = goes_on(Path(evaluation.path), None if deploy_if == NEVER else deploy_if)
    what = "The run goes on to export and deploy" if decision.deploy else "The run ends here, nothing is deployed"
    show(report, evaluate_summary, f"{what}: {decision.reason}.")
    return decision.deploy
