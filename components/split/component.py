"""Stage split as a KFP component."""

from kfp import dsl


@dsl.component(base_image="embedtune/cpu", install_kfp_package=False)
def split(
    config_yaml: str,
    chunks: dsl.Input[dsl.Dataset],
    questions: dsl.Input[dsl.Dataset],
    dataset: dsl.Output[dsl.Dataset],
    split_summary: dsl.Output[dsl.Markdown],
) -> None:
    """Build the retrieval dataset and prove that nothing leaks between its splits.

    Args:
        config_yaml: Configuration of the stage as YAML text, written by prepare.
        chunks: The artifact written by ingest.
        questions: The artifact written by generate.
        dataset: The dataset in the BEIR layout, with the proof that nothing leaks.
        split_summary: The figures and warnings of the stage as a page.
    """
    from pathlib import Path

    from components.body import open_context, show
    from embedtune.split import stage

    with open_context(config_yaml) as context:
        report = stage.run(Path(chunks.path), Path(questions.path), Path(dataset.path), context)
    show(report, split_summary)
