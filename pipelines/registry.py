"""Pipelines and their versions in KFP: a version is named by the hash of its file, and registered once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedtune.core.errors import InputError
from embedtune.core.suggestions import did_you_mean
from pipelines.server import KubeflowError, Server, equals
from pipelines.specification import Specification, load_specification, read_specification, version_name


@dataclass(frozen=True)
class Registered:
    """A version of a pipeline in KFP.

    Args:
        pipeline: Name of the pipeline.
        pipeline_id: Its id.
        version: Name of the version.
        version_id: Its id.
        specification: What it consists of.
        new: Whether it has just been registered.
    """

    pipeline: str
    pipeline_id: str
    version: str
    version_id: str
    specification: Specification
    new: bool = False


def register(server: Server, path: Path, name: str = "") -> Registered:
    """Return the version of a file, which is registered unless it is there.

    Args:
        server: The server.
        path: A compiled pipeline.
        name: Name of the pipeline in KFP; "": the one in the file.

    Raises:
        InputError: The file is no compiled pipeline.
        KubeflowError: The server refused it.
    """
    specification = load_specification(path)
    name, version = name or specification.name, version_name(path)
    pipeline = _pipeline(server, name) or _created(server, name)
    found = _version(server, pipeline.pipeline_id, version)
    new = found is None
    if found is None:
        found = _uploaded(server, path, pipeline.pipeline_id, version)
    return Registered(name, pipeline.pipeline_id, version, found.pipeline_version_id, specification, new)


def registered(server: Server, name: str, version: str = "") -> Registered:
    """Return a version that is there.

    Args:
        server: The server.
        name: Name of the pipeline.
        version: Name of the version; "": the newest.

    Raises:
        InputError: There is no such pipeline or version.
    """
    pipeline = _pipeline(server, name)
    if pipeline is None:
        entries = server.listed(_api(server).pipeline_service_list_pipelines, "pipelines", **server.here)
        known = [_name(entry) for entry in entries]
        raise InputError(
            f"there is no pipeline {name} in Kubeflow",
            expected=", ".join(known) or None,
            fix=did_you_mean(name, known) or "embedtune pipeline upload",
        )
    found = _version(server, pipeline.pipeline_id, version)
    if found is None:
        what = f"version {version}" if version else "version"
        raise InputError(f"the pipeline {name} has no {what} in Kubeflow", fix="embedtune pipeline upload")
    specification = read_specification(found.pipeline_spec)
    return Registered(name, pipeline.pipeline_id, _name(found), found.pipeline_version_id, specification)


def specification_of(server: Server, run: Any) -> Specification | None:
    """Return the specification of a run, which holds it or refers to a version; None if the version is gone."""
    if run.pipeline_spec:
        return read_specification(run.pipeline_spec)
    if (used := run.pipeline_version_reference) is None:
        return None
    method = _api(server).pipeline_service_get_pipeline_version
    try:
        return read_specification(server.call(method, used.pipeline_id, used.pipeline_version_id).pipeline_spec)
    except KubeflowError as error:
        if error.status != 404:
            raise
        return None


def _api(server: Server) -> Any:
    from kfp_server_api import PipelineServiceApi

    return PipelineServiceApi(server.client)


def _name(entry: Any) -> str:
    return str(entry.name or entry.display_name)


def _pipeline(server: Server, name: str) -> Any | None:
    """Return the pipeline with a name; one without a namespace is shared by all users."""
    method = _api(server).pipeline_service_list_pipelines
    found = server.listed(method, "pipelines", filter=equals("name", name), **server.here)
    return next((entry for entry in found if _name(entry) == name), None)


def _created(server: Server, name: str) -> Any:
    from kfp_server_api import V2beta1Pipeline

    body = V2beta1Pipeline(name=name, display_name=name, namespace=server.namespace)
    try:
        return server.call(_api(server).pipeline_service_create_pipeline, body)
    except KubeflowError as error:
        # Another upload was faster.
        if error.status != 409 or (found := _pipeline(server, name)) is None:
            raise
        return found


def _version(server: Server, pipeline_id: str, version: str) -> Any | None:
    method = _api(server).pipeline_service_list_pipeline_versions
    options = {"filter": equals("name", version)} if version else {"sort_by": "created_at desc"}
    found = server.listed(method, "pipeline_versions", pipeline_id, **options)
    return next((entry for entry in found if not version or _name(entry) == version), None)


def _uploaded(server: Server, path: Path, pipeline_id: str, version: str) -> Any:
    from kfp_server_api import PipelineUploadServiceApi

    upload = PipelineUploadServiceApi(server.client).upload_pipeline_version
    try:
        return server.call(upload, str(path), name=version, pipelineid=pipeline_id)
    except KubeflowError as error:
        if error.status != 409 or (found := _version(server, pipeline_id, version)) is None:
            raise
        return found
