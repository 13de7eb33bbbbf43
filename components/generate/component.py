"""Stage generate as a KFP component."""

from kfp import dsl


@dsl.component(base_image="embedtune/cpu", install_kfp_package=False)
def generate(
    config_yaml: str,
    chunks: dsl.Input[dsl.Dataset],
    base_vectors: dsl.Input[dsl.Artifact],
    questions: dsl.Output[dsl.Dataset],
    generate_summary: dsl.Output[dsl.Markdown],
    cache_dir: str = "",
) -> None:
    """Have an LLM write and judge questions about the chunks.

    Args:
        config_yaml: Configuration of the stage as YAML text, written by prepare.
        chunks: The artifact written by ingest.
        base_vectors: The artifact written by encode.
        questions: The questions that were kept, and the rejected ones with the reason.
        generate_summary: The figures and warnings of the stage as a page.
        cache_dir: Directory that outlives the pod, so that no reply is paid for twice; empty: temporary.
    """
    from pathlib import Path

    from components.body import open_context, show
    from embedtune.generate import stage

    with open_context(config_yaml, cache_dir, "replies", Path(base_vectors.path)) as context:
        report = stage.run(Path(chunks.path), Path(questions.path), context)
    show(report, generate_summary)
