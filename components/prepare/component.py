"""The first component of a run: refuses a wrong configuration before it costs anything."""

from typing import NamedTuple

from kfp import dsl


@dsl.component(base_image="embedtune/cpu", install_kfp_package=False)
def prepare(documents: str, config: str, overrides: str, eval_sets: str, champion: str) -> NamedTuple(  # type: ignore[valid-type]  # KFP reads it from this source
    "Prepared",
    [
        ("documents_version", str),
        ("comparisons_version", str),
        ("deploy_if", str),
        ("ingest", str),
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
        config: Name of a preset, or a complete configuration as YAML text.
        overrides: Changes to the configuration, section.key=value, one per line.
        eval_sets: Additional evaluation sets, NAME=s3://bucket/prefix, one per line.
        champion: s3://bucket/prefix of the model that is live now; empty if there is none.

    Returns:
        Versions of the data that the run reads, the verdict that is needed to deploy, and the configuration of
        each stage as YAML text.
    """
    import os

    from components.body import environment_secrets
    from components.inputs import SECTIONS, addresses, deploy_if, read_config, stage_yaml, version

    settings = read_config(config, overrides)
    secrets = environment_secrets(settings)
    compared = [*addresses(eval_sets).values(), *([champion] if champion else [])]
    return (
        version([documents], settings.storage, secrets),
        version(compared, settings.storage, secrets),
        deploy_if(settings, os.environ),
        *(stage_yaml(settings, stage) for stage in SECTIONS),
    )
