"""Whether a server accepts connections at all: its client would wait minutes for one that does not."""

import socket
from urllib.request import getproxies, proxy_bypass

from urllib3.util import parse_url

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ConfigError, InputError

CONNECT_S = 5.0


def connects(url: str) -> str | None:
    """Return why a connection to a URL's host fails, or None if it does not.

    Behind a proxy, which connects in our place, it is not tried.

    Args:
        url: With its scheme; without a port, the scheme's own is used.
    """
    parts = parse_url(url)
    host, port = parts.host or "", parts.port or (443 if parts.scheme == "https" else 80)
    if not proxy_bypass(host) and getproxies().get(parts.scheme or ""):
        return None
    try:
        socket.create_connection((host.strip("[]"), port), timeout=CONNECT_S).close()
    except TimeoutError:
        return f"no connection to {host}:{port} within {CONNECT_S:.0f} s"
    except OSError as error:
        return f"no connection to {host}:{port}: {error.strerror or error}"
    return None


def require_store(storage: StorageSettings) -> None:
    """Refuse an object store that accepts no connection.

    Raises:
        ConfigError: Its address is not one.
        InputError: It accepts no connection.
    """
    if not storage.endpoint:
        return  # `connect` says so
    try:
        problem = connects(f"{'https' if storage.secure else 'http'}://{storage.endpoint}")
    except ValueError as error:
        raise ConfigError("storage.endpoint is not valid", got=storage.endpoint, expected="host:port") from error
    if problem:
        raise InputError(
            "the object store cannot be reached",
            got=problem,
            fix="check storage.endpoint, the network and its firewalls, or start the store",
        )
