"""The component that encodes the passages with the base model, once for all stages."""

from kfp import dsl


@dsl.component(base_image="embedtune/gpu", install_kfp_package=False)
def encode(
    config_yaml: str,
    chunks: dsl.Input[dsl.Dataset],
    base_vectors: dsl.Output[dsl.Artifact],
    encode_summary: dsl.Output[dsl.Markdown],
    cache_dir: str = "",
) -> None:
    """Encode every passage with the base model, for generate, mine, train and evaluate.

    Args:
        config_yaml: Configuration of the task as YAML text, written by prepare.
        chunks: The artifact written by ingest.
        base_vectors: One vector per passage and precision, with a record that holds their hash.
        encode_summary: The figures of the task as a page.
        cache_dir: Directory that outlives the pod, so that another attempt goes on; empty: a temporary directory.
    """
    from pathlib import Path

    from components.base_vectors import encode_passages
    from components.body import open_context, show

    with open_context(config_yaml, cache_dir) as context:
        where = Path(chunks.path), Path(base_vectors.path)
        report = encode_passages(*where, context, resume=bool(cache_dir))
    show(report, encode_summary)
