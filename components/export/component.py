"""Stage export as a KFP component."""

from kfp import dsl


@dsl.component(base_image="embedtune/gpu", install_kfp_package=False)
def export(
    config_yaml: str,
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    engine: dsl.Output[dsl.Model],
    export_summary: dsl.Output[dsl.Markdown],
    cache_dir: str = "",
) -> None:
    """Export the model as an ONNX or TensorRT engine and prove that its vectors are the same.

    Args:
        config_yaml: Configuration of the stage as YAML text, written by prepare.
        model: The artifact written by train.
        dataset: The artifact written by split; its texts are used for the proof.
        engine: The engine, its parity with PyTorch, and reference vectors.
        export_summary: The figures and warnings of the stage as a page.
        cache_dir: Directory that outlives the pod, for embeddings; empty: a temporary directory.
    """
    from pathlib import Path

    from components.body import open_context, show
    from embedtune.export import stage

    with open_context(config_yaml, cache_dir) as context:
        report = stage.run(Path(model.path), Path(dataset.path), Path(engine.path), context)
    show(report, export_summary)
