"""The first component of a run: refuses a wrong configuration before it costs anything."""

from typing import Any, NamedTuple

from kfp import dsl


@dsl.component(base_image="embedtune/cpu", install_kfp_package=False)
def prepare(
    documents: str,
    preset: str,
    base_model: str,
    llm_url: str,
    llm_model: str,
    judge_url: str,
    judge_model: str,
    storage_endpoint: str,
    storage_tls: bool,
    release_uri: str,
    endpoint_url: str,
    deploy_if: str,
    champion: str,
    eval_sets: list[str],
    overrides: dict[str, Any],
) -> NamedTuple(  # type: ignore[valid-type]  # KFP reads it from this source
    "Prepared",
    [
        ("documents", str),
        ("documents_version", str),
        ("eval_sets", str),
        ("champion", str),
        ("comparisons_version", str),
        ("deploy_if", str),
        ("ingest", str),
        ("encode", str),
        ("generate", str),
        ("split", str),
        ("mine", str),
        ("train", str),
        ("evaluate", str),
        ("export", str),
        ("deploy", str),
    ],
):
    """Check the configuration, and find out what each stage depends on, for KFP's cache.

    Args:
        documents: Folder or s3://bucket/prefix that contains the documents.
        preset: Name of a preset.
        base_model: Name of a base model that comes with embedtune; from-preset: the preset's own.
        llm_url: Base URL of an OpenAI-compatible LLM endpoint, usually ending in /v1; empty: the preset's.
        llm_model: Name of the model there; empty: the preset's.
        judge_url: Base URL of another LLM endpoint that judges; empty: that of llm_url.
        judge_model: Name of the model that judges; empty: llm_model.
        storage_endpoint: host:port of the object store behind s3:// addresses; empty: Amazon S3.
        storage_tls: Whether the object store is called over TLS.
        release_uri: s3://bucket/prefix of the releases; empty: nothing is deployed.
        endpoint_url: Address of the served endpoint that the smoke test calls; empty: as configured.
        deploy_if: Worst verdict that is still deployed: win, marginal or never.
        champion: s3://bucket/prefix of the model to compare with; empty: the one that is live in release_uri.
        eval_sets: Additional evaluation sets, a list of NAME=s3://bucket/prefix; the first one decides.
        overrides: Further settings, such as {"train.epochs": 5}.

    Returns:
        Versions and addresses of the data that the run reads, the verdict that is needed to deploy, and the
        configuration of each stage and of encode as YAML text.
    """
    import os

    from components.body import plain_errors
    from components.inputs import prepared
    from components.parameters import Form

    fields = {
        "llm_url": llm_url,
        "llm_model": llm_model,
        "judge_url": judge_url,
        "judge_model": judge_model,
        "storage_endpoint": storage_endpoint,
        "release_uri": release_uri,
        "endpoint_url": endpoint_url,
    }
    with plain_errors():
        form = Form(preset, base_model, fields, storage_tls, deploy_if, overrides)
        return prepared(form, documents, eval_sets, champion, os.environ)
