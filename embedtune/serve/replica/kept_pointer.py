"""The pointer as it was last read, kept on disk for a replica that starts while the store cannot be read."""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from embedtune.core.errors import ArtifactError
from embedtune.core.records.base import JsonRecord, read_record, render_record
from embedtune.serve.store.pointer import switching
from embedtune.serve.store.records import Pointer

log = logging.getLogger(__name__)
KEPT_FILE = "kept_pointer.json"
AGAIN_S = 10.0  # a pointer that has not changed is written this often


class KeptPointer(JsonRecord):
    """A reading of the pointer.

    Attributes:
        store: The store that was read, with its host.
        pointer: What it said.
        store_time: The store's time then, in seconds since 1970.
        read_at: This machine's time when the reading began, in seconds since 1970.
    """

    NAME: ClassVar[str] = "kept_pointer"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune serve"

    store: str
    pointer: Pointer
    store_time: float
    read_at: float


@dataclass
class PointerKeeper:
    """Keeps the pointer of one store in a folder, which other replicas of the same store may share.

    Args:
        folder: The folder.
        store: The store.
        clock: This machine's time, which unlike the monotonic clock goes on when the machine starts again.
    """

    folder: Path
    store: str
    clock: Callable[[], float] = time.time
    _last: KeptPointer | None = None

    def keep(self, pointer: Pointer, store_time: float, age_s: float) -> None:
        """Keep a reading, before anything is done or confirmed because of it.

        Args:
            pointer: What the store said.
            store_time: The store's time then.
            age_s: Seconds since the reading began.
        """
        reading = KeptPointer(
            store=self.store, pointer=pointer, store_time=store_time, read_at=self.clock() - age_s
        )
        last = self._last
        # During a switch every reading counts: the first one after it is that by which a replica may answer.
        calm = last is not None and last.pointer == pointer and not switching(last.pointer, last.store_time)
        if last and calm and 0 <= reading.read_at - last.read_at < AGAIN_S:
            return
        try:
            self._write(reading)
        except OSError as error:
            log.error("the pointer cannot be kept for a start without the release store: %s", error)
            self.forget()  # an older one could name a release that is no longer live
        else:
            self._last = reading

    def forget(self) -> None:
        """Remove what is kept: the store has no pointer."""
        self._last = None
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def find(self) -> KeptPointer | None:
        """Return the last reading of this store; None: there is none, or its age cannot be told."""
        try:
            found = read_record(self._file, KeptPointer)
        except ArtifactError as error:
            if self._file.exists():
                log.warning("the kept pointer cannot be used: %s", error)
            return None
        if found.store != self.store:
            log.warning("the kept pointer is that of another store: %s", found.store)
            return None
        if found.read_at > self.clock():
            log.warning("the kept pointer is from the future, so how old it is cannot be told")
            return None
        return found

    @property
    def _file(self) -> Path:
        return self.folder / KEPT_FILE

    def _write(self, reading: KeptPointer) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            # Another replica may have read it later; the store's clock is the same for all.
            there = self.find() if self._file.exists() else None
            if there is not None and there.store_time > reading.store_time:
                return
            draft = self._file.with_name(f".{KEPT_FILE}.draft")
            with draft.open("w") as stream:
                stream.write(render_record(reading))
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(self._file)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder / f".{KEPT_FILE}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
