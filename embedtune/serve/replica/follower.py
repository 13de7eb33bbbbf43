"""Follows the pointer of a release store: decides what is loaded, and tells gateways and others what may answer.

Two threads share it. One polls the pointer and reports, several times a second while a switch may come; the other
does the slow work, one step at a time.
"""

import logging
import random
import secrets
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from embedtune.core.errors import ArtifactError, EmbedtuneError, GateError
from embedtune.core.formatting import duration
from embedtune.serve.release.record import short
from embedtune.serve.replica.clock import StoreClock
from embedtune.serve.replica.kept_pointer import PointerKeeper
from embedtune.serve.replica.loader import Loaded, Loader
from embedtune.serve.replica.serving import SERVING_FILE, Serving, write_serving
from embedtune.serve.replica.state import State
from embedtune.serve.store.objects import Objects
from embedtune.serve.store.pointer import POINTER, parse_pointer, require_whole_ids, switching, wanted
from embedtune.serve.store.records import ReplicaRecord
from embedtune.serve.store.replicas import BEAT_S, remove_replica, write_replica

log = logging.getLogger(__name__)
CANARY_S = 300.0
AGAIN_S = 10.0  # until a release that is needed now and failed is tried again


@dataclass(frozen=True)
class Kept:
    """How a replica starts while the store cannot be read.

    Args:
        keeper: Where the pointer is kept.
        for_s: Seconds after its reading for which a kept pointer counts.
    """

    keeper: PointerKeeper
    for_s: float


class Follower:
    """Follows a pointer for one running Triton.

    Args:
        objects: The store that holds the pointer.
        loader: Loads releases into that Triton.
        folder: Folder for the file that gateways read.
        name: Name of this replica.
        canary_s: Seconds between two comparisons of what is loaded with its reference vectors; 0: none.
        kept: Where the pointer is kept for a start without the store; None: nowhere.
    """

    def __init__(
        self,
        objects: Objects,
        loader: Loader,
        folder: Path,
        name: str,
        canary_s: float = CANARY_S,
        kept: Kept | None = None,
    ) -> None:
        self.name = name
        self._kept = kept
        self._tidied: set[str] | None = None  # what was to be loaded when the folders were last tidied
        self._canary_s = canary_s
        self._tried: dict[str, float] = {}  # when a release was last asked for its reference vectors
        self._objects = objects
        self._loader = loader
        self._file = folder / SERVING_FILE
        self._instance = secrets.token_hex(8)
        self._state = State()
        self._lock = threading.Lock()
        self._reporting = threading.Lock()
        self._changed = threading.Event()
        self._told: ReplicaRecord | None = None
        self._told_at = 0.0
        write_serving(self._file, Serving(written=time.monotonic(), doing="the server has just started"))

    def poll(self) -> None:
        """Read the pointer and report; a store that does not answer leaves everything as it is."""
        started = time.monotonic()
        try:
            found, ended = self._objects.read(POINTER), time.monotonic()
            if found is None and self._state.pointer and self._state.pointer.live:
                raise ArtifactError("it is lost, and what it named stays as it is", got=f"no {POINTER}")
            pointer = parse_pointer(self._objects, found)
            require_whole_ids(pointer)
        except EmbedtuneError as error:
            log.warning("the pointer cannot be read: %s", error)
            self._go_by_kept(error)
        else:
            if self._kept and found is None:
                self._kept.keeper.forget()
            elif self._kept and found is not None:  # on disk before it is confirmed
                self._kept.keeper.keep(pointer, found.now, time.monotonic() - started)
            with self._lock:
                if self._state.kept_s is not None:
                    log.info("the release store can be read again")
                self._state.has_read(pointer, found, started, ended)
        self.report()

    def _go_by_kept(self, error: EmbedtuneError) -> None:
        """Go by the last reading of an earlier start, until the store can be read."""
        with self._lock:
            self._state.away = error.what
            known = self._state.pointer is not None
        if known or self._kept is None or (found := self._kept.keeper.find()) is None:
            return
        age, now = self._kept.keeper.clock() - found.read_at, time.monotonic()
        with self._lock:
            self._state.pointer, self._state.read_at, self._state.kept_s = (
                found.pointer,
                now - age,
                self._kept.for_s,
            )
            # People can set the clock that tells its age, so its switch counts only as one that was over by then.
            ahead = found.store_time + age - now
            self._state.clock = StoreClock(ahead, ahead)
            fence = self._state.fence_at()
        left = 0.0 if fence is None else fence - now
        log.warning(
            "this replica goes by the pointer as it was read %s ago, when %s was live: %s",
            duration(age),
            short(found.pointer.live) if found.pointer.live else "nothing",
            f"until the store can be read, it answers for {duration(left)}"
            if left > 0
            else "another release may be live by now, so until the store can be read it answers only who pins one",
        )

    def report(self) -> None:
        """Tell gateways what may answer, and the store, if there is something to tell."""
        with self._reporting:  # both threads report
            self._report()

    def _report(self) -> None:
        with self._lock:
            serving = self._state.serving()
            record = self._state.record(self._instance, self._told.beats + 1 if self._told else 0)
        try:
            write_serving(self._file, serving)
        except OSError as error:  # a full disk: gateways stop after a while, and go on when there is room again
            log.error("gateways are not told what may answer: %s: %s", self._file, error.strerror)
        news = self._told is None or record.model_copy(update={"beats": self._told.beats}) != self._told
        if news or time.monotonic() - self._told_at >= BEAT_S:
            try:
                write_replica(self._objects, self.name, record)
            except EmbedtuneError as error:
                log.warning("the store does not know the state of this replica: %s", error)
                return
            self._told, self._told_at = record, time.monotonic()

    def wait(self, idle_s: float, busy_s: float) -> None:
        """Wait until the pointer should be read again, or the worker has news.

        Args:
            idle_s: Seconds between two readings.
            busy_s: The same while a switch may come at any moment.
        """
        with self._lock:
            pointer = self._state.pointer
            busy = pointer is not None and switching(pointer, self._state.store_time())
        # At different moments of the second, which is all that S3 tells of its time.
        self._changed.wait((busy_s if busy else min(idle_s, BEAT_S)) * random.uniform(0.5, 1.0))
        self._changed.clear()

    def step(self) -> bool:
        """Unload what is not wanted, load what is, or check what is loaded; return whether there is more to do."""
        with self._lock:
            pointer, now = self._state.pointer, time.monotonic()
            if pointer is None:
                return False
            names, kept = wanted(pointer, self._state.store_time()), self._state.kept_s is not None
            surplus = [self._state.loaded[name] for name in self._state.loaded if name not in names]
            for loaded in surplus:
                del self._state.loaded[loaded.release.id]
            missing = [name for name in names if name not in self._state.loaded and self._state.may_try(name, now)]
            token = pointer.candidate.token if pointer.candidate else None
            others = list(self._state.loaded.values())
            exposed = next((loaded for loaded in others if loaded.release.id == pointer.live), None)
        if surplus:
            self._unload(surplus)
            return True
        if exposed:
            self._loader.expose(exposed, self._file)
            if not kept and self._tidied != {*names}:
                self._loader.downloads.tidy(names)
                self._tidied = {*names}
        if kept:
            missing = [name for name in missing if self._loader.downloads.has(name)]
        if not missing:
            return self._check(others)
        self._load(missing[0], others, token)
        return True

    def close(self) -> None:
        """Say that this replica ends in good order."""
        try:
            remove_replica(self._objects, self.name)
        except EmbedtuneError as error:
            log.warning("the store does not know that this replica has ended: %s", error)

    def _load(self, name: str, others: list[Loaded], token: str | None) -> None:
        with self._lock:
            self._state.failed.pop(name, None)
        try:
            loaded = self._loader.load(name, others, self._tell)
            if not others:  # before it is live, so that clients of Triton's own ports need not wait for it then
                self._loader.expose(loaded, self._file)
        except Exception as caught:  # whatever it is, whoever deploys must hear of it
            error = (
                caught if isinstance(caught, EmbedtuneError) else GateError(f"a bug or a full disk: {caught!r}")
            )
            log.error("release %s cannot answer: %s", short(name), error, exc_info=error is not caught)
            with self._lock:
                self._state.failed[name] = (error, time.monotonic() + AGAIN_S)
                if self._is_candidate(name):
                    self._state.failed_token = token
        else:
            with self._lock:
                self._state.loaded[name] = loaded
        self._tell("")

    def _unload(self, surplus: list[Loaded]) -> None:
        self.report()  # gateways stop sending requests first
        time.sleep(0.2)
        for loaded in surplus:
            self._loader.unload(loaded)
        self._tell("")

    def _check(self, others: list[Loaded]) -> bool:
        """Compare one release with its reference vectors if it is time to; return whether it was unloaded."""
        now = time.monotonic()
        due = (found for found in others if now - self._tried.get(found.model, found.checked) >= self._canary_s)
        if not self._canary_s or (loaded := next(due, None)) is None:
            return False
        self._tried = {found.model: self._tried.get(found.model, found.checked) for found in others}
        self._tried[loaded.model] = now
        name, limit = loaded.release.id, loaded.release.record.proving.min_cosine
        try:
            drift = self._loader.check(loaded)
        except EmbedtuneError as error:  # Triton is overloaded or has ended: that says nothing about the vectors
            log.warning("the vectors of release %s could not be checked: %s", short(name), error)
            return False
        drifted = drift.cosine.min < limit
        with self._lock:
            if drifted:
                del self._state.loaded[name]
                self._state.drifts += 1
                self._state.doing = f"release {short(name)} no longer returned its reference vectors"
            else:
                self._state.loaded[name] = replace(loaded, drift=drift, checked=time.monotonic())
        if drifted:
            log.error(
                "release %s no longer returns its reference vectors (cosine similarity %.5f; limit: %g): "
                "it answers nobody until it is loaded and proven again",
                short(name),
                drift.cosine.min,
                limit,
            )
            self._unload([loaded])
        return drifted

    def _tell(self, doing: str) -> None:
        with self._lock:
            self._state.doing, self._state.progress = doing, self._state.progress + 1
        self._changed.set()

    def _is_candidate(self, name: str) -> bool:
        candidate = self._state.pointer.candidate if self._state.pointer else None
        return candidate is not None and candidate.id == name
