"""API keys: who may send requests, and how many tokens each may use. Only their hashes are kept in memory."""

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from embedtune.core.errors import InputError
from embedtune.serve.gateway.http_errors import RefusedError

log = logging.getLogger(__name__)
ANYBODY = "anybody"  # what a client without a key is called, where none is needed
DEFAULT_NAME = "default"  # the key in EMBEDTUNE_API_KEY
LINE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,62})\s+sha256:(?P<digest>[0-9a-fA-F]{64})"
    r"(\s+tokens_per_minute=(?P<quota>[1-9][0-9]*))?"
)
FORMAT = "one line per key: NAME sha256:HASH, optionally with tokens_per_minute=N"
CHECK_S = 1.0  # a changed file is read again after at most this many seconds
MINUTE_S = 60.0


@dataclass(frozen=True)
class Key:
    """A key that is accepted.

    Args:
        name: Its name in metrics and in the access log.
        digest: sha256 of the key.
        quota: Tokens per minute; None: no limit.
    """

    name: str
    digest: bytes
    quota: int | None = None


def key_hash(key: str) -> bytes:
    """Return the hash under which a key is stored: keys are random, so that a plain sha256 cannot be guessed."""
    return hashlib.sha256(key.encode()).digest()


def read_key(text: str) -> Key:
    """Return the key of the environment variable EMBEDTUNE_API_KEY.

    Raises:
        InputError: It is empty or blank, which must not mean that anybody is let in.
    """
    key = text.strip()  # a Secret made from a file often ends with a newline, which no client sends
    if not key:
        raise InputError(
            "the API key is empty",
            got=f"EMBEDTUNE_API_KEY={text!r}",
            expected="a key, or no such variable: then the gateway serves anybody",
        )
    return Key(DEFAULT_NAME, key_hash(key))


def read_keys(file: Path) -> list[Key]:
    """Return the keys of a file; empty lines, and lines that start with #, are skipped.

    Raises:
        InputError: It cannot be read, has no key, has a line of another format, or a name or a key twice.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the API keys in {file} cannot be read", got=error, expected=FORMAT) from error
    keys = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not (match := LINE.fullmatch(line.strip())):
            raise InputError(f"line {number} of {file} is not an API key", expected=FORMAT)
        digest = bytes.fromhex(match["digest"])
        if digest == key_hash(""):
            raise InputError(f"line {number} of {file} has the hash of an empty key", expected=FORMAT)
        keys.append(Key(match["name"], digest, int(match["quota"]) if match["quota"] else None))
    if not keys:
        raise InputError(f"{file} has no API key", expected=FORMAT)
    if len({key.name for key in keys}) < len(keys) or len({key.digest for key in keys}) < len(keys):
        raise InputError(f"{file} has a name or a key twice", expected="each once")
    return keys


@dataclass
class _Budget:
    tokens: float
    at: float


@dataclass
class Keys:
    """The keys that are accepted now.

    Args:
        fixed: The key of the environment variable, if there is one.
        file: Further keys, read again when the file changes; a file that has become invalid is logged, and the
            keys that it had before remain.
        clock: Seconds.

    Raises:
        InputError: The file is invalid.
    """

    fixed: Key | None = None
    file: Path | None = None
    clock: Callable[[], float] = time.monotonic
    _keys: list[Key] = field(default_factory=list)
    _seen: tuple[int, int, int] | None = None
    _checked: float = 0.0
    _budgets: dict[str, _Budget] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.file:
            self._seen = _version(self.file)
            self._keys = read_keys(self.file)
        self._checked = self.clock()

    def find(self, authorization: bytes, *, needed: bool = False) -> Key | None:
        """Return the key that a client sent; None: there are no keys, anybody is let in.

        Args:
            authorization: The header `Authorization`; empty: there was none.
            needed: Let nobody in without a key even if there are none, since access tokens are accepted.

        Raises:
            RefusedError: The key is wrong or missing.
        """
        if self.fixed is None and self.file is None and not needed:
            return None
        self._refresh()
        scheme, _, token = authorization.partition(b" ")
        digest = hashlib.sha256(token.strip()).digest() if scheme.lower() == b"bearer" else b""
        # Every key is compared, in constant time.
        known: list[Key] = [*self._keys, *((self.fixed,) if self.fixed else ())]
        if found := [key for key in known if hmac.compare_digest(key.digest, digest)]:
            return found[0]
        what = "wrong API key or access token" if needed else "wrong API key"
        if not authorization:
            what = "no API key: send the header Authorization: Bearer KEY"
        raise RefusedError(401, what, code="invalid_api_key")

    def require_quota(self, key: Key | None) -> None:
        """Refuse a request of a key that has used up its tokens.

        Raises:
            RefusedError: It has; `Retry-After` says when its next tokens arrive.
        """
        if key is None or key.quota is None:
            return
        budget = self._budget(key, key.quota)
        if budget.tokens <= 0:
            what = f"the API key {key.name} has used its {key.quota} tokens per minute"
            wait = -budget.tokens / key.quota * MINUTE_S
            raise RefusedError(429, what, code="quota_exceeded", retry_after_s=wait)

    def spend(self, key: Key | None, tokens: int) -> None:
        """Charge tokens to a key. The last request within a quota may exceed it; what follows waits longer."""
        if key is not None and key.quota is not None:
            self._budget(key, key.quota).tokens -= tokens

    def _budget(self, key: Key, quota: int) -> _Budget:
        now = self.clock()
        budget = self._budgets.setdefault(key.name, _Budget(float(quota), now))
        budget.tokens = min(float(quota), budget.tokens + (now - budget.at) / MINUTE_S * quota)
        budget.at = now
        return budget

    def _refresh(self) -> None:
        if self.file is None or self.clock() - self._checked < CHECK_S:
            return
        self._checked = self.clock()
        try:
            if (version := _version(self.file)) != self._seen:
                self._seen = version
                self._keys = read_keys(self.file)
                log.info("%d API keys read from %s", len(self._keys), self.file)
        except InputError as error:
            log.error("the API keys stay as they were: %s", error)


def _version(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError as error:
        raise InputError(f"the API keys in {file} cannot be read", got=error, expected=FORMAT) from error
    return found.st_mtime_ns, found.st_size, found.st_ino
