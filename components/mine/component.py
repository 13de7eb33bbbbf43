"""Stage mine as a KFP component."""

from kfp import dsl


@dsl.component(base_image="embedtune/gpu", install_kfp_package=False)
def mine(
    config_yaml: str,
    dataset: dsl.Input[dsl.Dataset],
    base_vectors: dsl.Input[dsl.Artifact],
    triplets: dsl.Output[dsl.Dataset],
    mine_summary: dsl.Output[dsl.Markdown],
    cache_dir: str = "",
) -> None:
    """Mine hard negatives for the queries of the train split.

    Args:
        config_yaml: Configuration of the stage as YAML text, written by prepare.
        dataset: The artifact written by split.
        base_vectors: The artifact written by encode.
        triplets: The queries with their positives and negatives, and the audit.
        mine_summary: The figures and warnings of the stage as a page.
        cache_dir: Directory that outlives the pod, for embeddings; empty: a temporary directory.
    """
    from pathlib import Path

    from components.body import open_context, show
    from embedtune.mine import stage

    with open_context(config_yaml, cache_dir, base_vectors=Path(base_vectors.path)) as context:
        report = stage.run(Path(dataset.path), Path(triplets.path), context)
    show(report, mine_summary)
