"""The version of a run's documents in its name and description, so that unchanged documents start no other run."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from components.parameters import address
from embedtune.core.errors import ConfigError
from embedtune.core.secrets import secrets_of
from pipelines.form import form_config
from pipelines.specification import Specification

if TYPE_CHECKING:
    from pipelines.runs import Wanted
    from pipelines.server import Server

PLACEHOLDER = "{documents}"


def documents_version(specification: Specification, values: Mapping[str, JsonValue]) -> str:
    """Return the version of a run's documents, as its first task will find it: a hash of their listing.

    Args:
        specification: The pipeline.
        values: Values of its parameters, which name the documents and the object store.

    Raises:
        ConfigError: The pipeline has no such parameters, or the documents are in no object store.
        InputError: There is nothing at the address, or the object store refuses.
    """
    from components.inputs import version

    config = form_config(specification, values)
    where = address("documents", str(values.get("documents", "")))
    if config is None or not where.startswith("s3://"):
        raise ConfigError(
            f"the documents of {PLACEHOLDER} cannot be listed from here",
            got=where or f"a pipeline {specification.name} without the parameter documents",
            expected="s3://bucket/prefix",
        )
    return version([where], config.storage, secrets_of(config.generate, os.environ))


def with_version(
    texts: tuple[str, ...], specification: Specification, values: Mapping[str, JsonValue]
) -> tuple[str, ...]:
    """Return texts in which the version of the documents, listed once, replaces `{documents}`.

    Raises:
        ConfigError: The pipeline has no documents, or they are in no object store.
        InputError: There is nothing at their address, or the object store refuses.
    """
    if not any(PLACEHOLDER in text for text in texts):
        return texts
    found = documents_version(specification, values)
    return tuple(text.replace(PLACEHOLDER, found) for text in texts)


def known_run(server: "Server", wanted: "Wanted", key: str) -> Any | None:
    """Return the run that is there already; None if there is none.

    If the key has a part for the version of the documents, it is also a run without that part, which a commit has
    started, if its description says that it is of the same version.

    Args:
        server: The server.
        wanted: The run to start.
        key: The key as it was given, with `{documents}`.
    """
    from pipelines.runs import with_key

    if (run := with_key(server, wanted.name)) is not None or PLACEHOLDER not in key:
        return run
    before, _, after = key.partition(PLACEHOLDER)
    version = wanted.name[len(before) : len(wanted.name) - len(after)]
    plain = with_key(server, f"{before.rstrip('-')}{after}")
    return plain if plain is not None and f"documents {version}" in (plain.description or "") else None
