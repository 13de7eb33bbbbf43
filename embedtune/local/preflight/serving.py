"""Where a run deploys to: whether releases can be written there, and whether the local Triton's ports are free."""

import socket
from collections.abc import Iterator
from pathlib import Path

from embedtune.core.errors import InputError
from embedtune.local.preflight.finding import Finding, IntendedRun
from embedtune.local.preflight.network import require_store


def check_release_store(run: IntendedRun) -> Iterator[Finding]:
    """Find the live model, and try to write next to the pointer, under conditions that are not met.

    Raises:
        EmbedtuneError: The store refuses, ignores conditions, does not answer, its pointer is lost or cannot be
            read, or the run could not deploy, since it would not be compared with the live model.
    """
    from embedtune.deploy.champion import live_model, require_live, require_stored
    from embedtune.deploy.site import open_store
    from embedtune.serve.store.pointer import require_conditional_writes

    config, champion = run.config, run.comparisons.champion
    if config.release.uri and config.release.uri.startswith("s3://"):
        require_store(config.storage)
    cache = run.cache or (run.work or Path()) / "cache"
    store = open_store(config.release, config.storage, run.secrets, cache.resolve())
    live = live_model(store)
    if "deploy" in run.stages:
        if config.release.uri:  # else a folder of the cache
            require_conditional_writes(store.objects)
        if live and "evaluate" in run.stages:
            if champion is None:
                require_stored(live, "--champion DIR")
            else:
                require_live(str(champion), live, config.storage, run.secrets)
    if config.release.uri or live:
        state = f"{live.release[:16]} is live" if live else "nothing is live"
        yield Finding("fine", "release store", f"{store.objects.uri}: {state}")


def check_port(run: IntendedRun) -> Iterator[Finding]:
    """See whether the ports of the local Triton are free, or its own.

    Raises:
        InputError: Something else listens on one of them.
        ArtifactError: The state of the local Triton is unreadable.
    """
    from embedtune.deploy.local_replica import LocalReplica

    deploy = run.config.deploy
    if deploy.target != "local":
        return
    if LocalReplica(deploy.port, deploy.timeout_s).follows() is not None:
        yield Finding("fine", "port", f"the local Triton is listening on {deploy.port}")
        return
    taken = [port for port in range(deploy.port, deploy.port + 3) if _is_taken(port)]
    if taken:
        raise InputError(
            "a port of the local Triton is in use",
            got=", ".join(map(str, taken)),
            expected="three free ports in a row",
            fix="stop what is listening there, or set deploy.port",
        )
    yield Finding("fine", "port", f"{deploy.port} to {deploy.port + 2} are free")


def _is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - nothing listens: it is closed at once
        except OSError:
            return True
    return False
