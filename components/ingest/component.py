"""Stage ingest as a KFP component."""

from kfp import dsl


@dsl.component(base_image="embedtune/cpu", install_kfp_package=False)
def ingest(
    documents: str,
    documents_version: str,
    config_yaml: str,
    chunks: dsl.Output[dsl.Dataset],
    ingest_summary: dsl.Output[dsl.Markdown],
    cache_dir: str = "",
) -> None:
    """Read documents and cut them into chunks.

    Args:
        documents: Folder or s3://bucket/prefix that contains the documents.
        documents_version: Hash that changes with the documents, for KFP's cache.
        config_yaml: Configuration of the stage as YAML text, written by prepare.
        chunks: The chunks, with their near-duplicate groups and splits.
        ingest_summary: The figures and warnings of the stage as a page.
        cache_dir: Directory that outlives the pod, for resuming; empty: a temporary directory.
    """
    from pathlib import Path

    from components.body import open_context, show
    from embedtune.ingest import stage

    with open_context(config_yaml, cache_dir) as context:
        report = stage.run(documents, Path(chunks.path), context)
    show(report, ingest_summary)
