"""Stage train as a KFP component."""

from kfp import dsl


@dsl.component(base_image="embedtune/gpu", install_kfp_package=False)
def train(
    config_yaml: str,
    triplets: dsl.Input[dsl.Dataset],
    dataset: dsl.Input[dsl.Dataset],
    base_vectors: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
    train_summary: dsl.Output[dsl.Markdown],
    cache_dir: str = "",
) -> None:
    """Fine-tune the base model; an earlier checkpoint is kept if it is clearly better on dev.

    Args:
        config_yaml: Configuration of the stage as YAML text, written by prepare.
        triplets: The artifact written by mine.
        dataset: The artifact written by split; its dev queries choose the checkpoint.
        base_vectors: The artifact written by encode.
        model: The tuned model, with its encoder contract and training curves.
        train_summary: The figures and warnings of the stage as a page.
        cache_dir: Directory that outlives the pod, for checkpoints; empty: a temporary directory.
    """
    from pathlib import Path

    from components.body import open_context, show
    from embedtune.train import stage

    with open_context(config_yaml, cache_dir, "checkpoints", Path(base_vectors.path)) as context:
        report = stage.run(Path(triplets.path), Path(dataset.path), Path(model.path), context)
    show(report, train_summary)
