"""Server entry point `python -m embedtune.serve.fetch DIR`: download one release, for a pod's init container.

It is configured by the environment: EMBEDTUNE_RELEASE (its id), EMBEDTUNE_RELEASES (s3://bucket/prefix),
EMBEDTUNE_S3_ENDPOINT (host:port), EMBEDTUNE_S3_SECURE (true or false), EMBEDTUNE_S3_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, and EMBEDTUNE_TARGET (the target that this pod can run); for TensorRT also
TRT_VERSION, which the image sets. Triton serves DIR/current/repository.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ConfigError, EmbedtuneError
from embedtune.core.secrets import secrets_from
from embedtune.serve.store.store import ReleaseStore
from embedtune.serve.triton.gpu import require_same_gpu, tensorrt_version

CURRENT = "current"


def fetch(into: Path, environment: Mapping[str, str]) -> Path:
    """Download and verify the release that the environment names, and return its directory.

    Args:
        into: Folder to download it to; the link `current` in it points to the release.
        environment: Usually `os.environ`.

    Raises:
        ConfigError: A variable is missing, or the release is for another target.
        InputError: The store has no such release, or does not answer, or the release needs a different TensorRT.
        ArtifactError: A file does not match its hash, or a record is of a different version.
    """
    name = _variable(environment, "EMBEDTUNE_RELEASE", "`embedtune deploy` sets it, or release.id in the values")
    storage = StorageSettings(
        endpoint=_variable(environment, "EMBEDTUNE_S3_ENDPOINT", "host:port of the object store"),
        secure=environment.get("EMBEDTUNE_S3_SECURE", "true") != "false",
        region=environment.get("EMBEDTUNE_S3_REGION") or None,
    )
    uri = _variable(environment, "EMBEDTUNE_RELEASES", "s3://bucket/prefix of the releases")
    store = ReleaseStore(uri, storage, secrets_from(environment, llm_key_name="", judge_key_name=""))
    found = store.show(name).release
    wanted, target = environment.get("EMBEDTUNE_TARGET"), found.target
    if wanted and target != wanted:
        raise ConfigError(
            f"release {name} is for a different target",
            got=target,
            expected=wanted,
            fix="export with the export.target of this installation, or install the chart for that target",
        )
    if target == "tensorrt":
        # This container has no GPU; the one that starts Triton does, and compares its generation.
        require_same_gpu(found, tensorrt_version(environment), capability=None)
    release = store.download(name, into).path
    link = into / f".{CURRENT}"
    link.unlink(missing_ok=True)
    link.symlink_to(release.name)
    link.replace(into / CURRENT)
    return release


def _variable(environment: Mapping[str, str], name: str, fix: str) -> str:
    if value := environment.get(name):
        return value
    raise ConfigError(
        "the release cannot be fetched: a variable is not set", expected=f"the variable {name}", fix=fix
    )


def main() -> None:
    """Fetch the release, or print the reason for a failure to stderr, where Kubernetes looks for it."""
    try:
        release = fetch(Path(sys.argv[1]), os.environ)
    except EmbedtuneError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    sys.stderr.write(f"release {release.name} is downloaded and verified\n")


if __name__ == "__main__":
    main()
