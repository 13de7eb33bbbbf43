"""Server entry point `python -m embedtune.serve.pod DIR`: become Triton, serving the release from `fetch`.

For a container: Triton listens on all addresses and replaces this process, so that it receives its signals.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from embedtune.core.errors import EmbedtuneError
from embedtune.serve.fetch import CURRENT
from embedtune.serve.release.record import read_release
from embedtune.serve.triton.installation import find_installation
from embedtune.serve.triton.server import Ports, server_command, server_environment

EVERYWHERE = "0.0.0.0"  # noqa: S104 - in a pod, a NetworkPolicy decides who may connect


def pod_command(folder: Path, environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the command that serves the current release, and its environment variables.

    Args:
        folder: The folder that `fetch` downloaded the release to.
        environment: Usually `os.environ`.

    Raises:
        ArtifactError: There is no release, or it is damaged.
        InputError: This image cannot run it.
    """
    installation = find_installation()
    release = read_release((folder / CURRENT).resolve())
    command = server_command(release, installation, Ports(address=EVERYWHERE))
    return command, server_environment(installation, environment)


def main() -> None:
    """Become Triton, or print the reason for a failure to stderr."""
    try:
        command, environment = pod_command(Path(sys.argv[1]), os.environ)
    except EmbedtuneError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    os.execve(command[0], command, environment)  # noqa: S606 - the command is built here


if __name__ == "__main__":
    main()
