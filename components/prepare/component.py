"""The first component of a run: refuses a bad configuration before anything is spent."""

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
    """Check the configuration and say what each stage depends on, for KFP's cache.

    Args:
        documents: Folder or s3://bucket/prefix with the documents.
        config: Name of a preset, or the whole configuration as YAML text.
        overrides: Changes to it, section.key=value, one a line.
        eval_sets: Further evaluation sets, NAME=s3://bucket/prefix, one a line.
        champion: Model that is live now, s3://bucket/prefix, or empty.

    Returns:
        Versions of the data that the run reads, what is deployed, and the configuration of each stage as YAML.
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
