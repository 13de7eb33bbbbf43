"""TLS of the gateway: a certificate and its key, which are read again when they change."""

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.errors import InputError

log = logging.getLogger(__name__)
CHECK_S = 1.0  # a changed file is read again after at most this many seconds


@dataclass(frozen=True)
class TlsFiles:
    """The files of a certificate.

    Args:
        certificate: PEM file with the certificate, followed by those of its issuers.
        key: PEM file with its private key, without a passphrase.
    """

    certificate: Path
    key: Path


class Tls:
    """The certificate that new connections get.

    Args:
        files: Where it is.
        clock: Seconds, by any clock that only goes forward.

    Raises:
        InputError: A file cannot be read, or they do not belong together.
    """

    def __init__(self, files: TlsFiles, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = files
        self._clock = clock
        self._seen = _marks(files)
        self._checked = clock()
        self._current = _load(files)
        self.context = _load(files)
        # Called at the start of each connection, whether or not the client names a host. A context that is in use
        # is not changed.
        self.context.sni_callback = self._choose

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        if self._clock() - self._checked >= CHECK_S:
            self._checked = self._clock()
            self._renew()
        connection.context = self._current

    def _renew(self) -> None:
        try:
            marks = _marks(self._files)
            if marks == self._seen:
                return
            self._seen = marks
            self._current = _load(self._files)
        except (InputError, OSError) as error:  # one of two files may have been replaced so far
            log.error("the new certificate is not used, and the previous one remains: %s", error)
        else:
            log.info("the certificate in %s was read again", self._files.certificate)


def _marks(files: TlsFiles) -> tuple[tuple[int, int, int], ...]:
    found = [file.stat() for file in (files.certificate, files.key) if file.exists()]
    return tuple((stat.st_dev, stat.st_ino, stat.st_mtime_ns) for stat in found)


def _load(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.certificate, files.key, password="")  # or it would ask at the terminal
    except (OSError, ValueError) as error:
        raise InputError(
            "the certificate of the gateway cannot be used",
            got=f"{files.certificate}, {files.key}: {error}",
            expected="two PEM files, of a certificate with its issuers and of its key without a passphrase",
        ) from error
    return context
