"""What a follower knows, and what it tells gateways and the store because of it."""

import time
from dataclasses import dataclass, field

from embedtune.core.errors import EmbedtuneError
from embedtune.serve.replica.clock import StoreClock
from embedtune.serve.replica.loader import Loaded
from embedtune.serve.replica.serving import ProvenRelease, Serving
from embedtune.serve.store.objects import Small
from embedtune.serve.store.pointer import FENCE_S, answering, switching, wanted
from embedtune.serve.store.records import Pointer, ReplicaRecord


@dataclass
class State:
    """What the two threads of a follower know; guarded by its lock.

    Attributes:
        pointer: As last read; None: not yet.
        read_at: When, by the monotonic clock.
        clock: How far the store's clock is ahead of the monotonic one.
        kept_s: The pointer is one that was read before this start and kept: seconds for which it counts after that
            reading; None: this process has read it.
        away: Why the store could not be read the last time; empty: it could.
        loaded: The releases that are loaded and proven, by id.
        failed: Why a release could not be loaded, and when it may be tried again.
        failed_token: The attempt of the candidate that failed.
        doing: What the worker does.
        progress: Steps that it has done.
        drifts: How often a release no longer returned its reference vectors.
    """

    pointer: Pointer | None = None
    read_at: float = 0.0
    clock: StoreClock = field(default_factory=StoreClock)
    kept_s: float | None = None
    away: str = ""
    loaded: dict[str, Loaded] = field(default_factory=dict)
    failed: dict[str, tuple[EmbedtuneError, float]] = field(default_factory=dict)
    failed_token: str | None = None
    doing: str = ""
    progress: int = 0
    drifts: int = 0

    def store_time(self) -> float:
        """Return the time that the store's clock has surely reached."""
        return time.monotonic() + self.clock.least

    def fence_at(self) -> float | None:
        """Return when only a newer reading may be trusted, by the monotonic clock; None: no switch can come."""
        if self.pointer is not None and switching(self.pointer, self.read_at + self.clock.least):
            # By what was known then: only a newer reading can say that no switch has come. The age of an earlier
            # start's reading is known by a clock that people can set, which seconds must not depend on.
            return self.read_at + (FENCE_S if self.kept_s is None else 0.0)
        return None if self.kept_s is None else self.read_at + self.kept_s

    def may_try(self, name: str, now: float) -> bool:
        """Return whether a release may be loaded: a candidate is tried once in each attempt."""
        candidate = self.pointer.candidate if self.pointer else None
        if candidate and candidate.id == name:
            return candidate.token != self.failed_token
        return name not in self.failed or now >= self.failed[name][1]

    def has_read(self, pointer: Pointer, found: Small | None, began: float, ended: float) -> None:
        """Take over what was read.

        Args:
            pointer: The pointer.
            found: Its object; None: there is none.
            began: When the reading began, by the monotonic clock.
            ended: When it ended.
        """
        if self.kept_s is not None:  # what failed may have failed because the store was away
            self.kept_s, self.clock, self.failed_token = None, StoreClock(), None
            self.failed.clear()
        self.pointer, self.read_at, self.away = pointer, began, ""
        if found is not None:
            self.clock = self.clock.narrowed(found.now, found.tick_s, began, ended)

    def serving(self) -> Serving:
        """Return what gateways are told."""
        pointer, store_now = self.pointer or Pointer(), self.store_time()
        later, candidate = store_now < pointer.switch_at, pointer.candidate
        return Serving(
            written=time.monotonic(),
            proven=tuple(_proven(found) for found in self.loaded.values()),
            live=answering(pointer, store_now),
            next=pointer.live if later else None,
            pause_at=pointer.switch_at - self.clock.most if later else None,
            switch_at=pointer.switch_at - self.clock.least if later else None,
            fence_at=self.fence_at(),
            candidate=candidate.id if candidate else None,
            doing=self._said(),
            drifts=self.drifts,
            read_at=self.read_at if self.pointer else None,
            kept=self.kept_s is not None,
        )

    def record(self, instance: str, beats: int) -> ReplicaRecord:
        """Return what the store is told.

        Args:
            instance: This start of Triton.
            beats: How often it was written.
        """
        pointer = self.pointer or Pointer()
        live, candidate = answering(pointer, self.store_time()), pointer.candidate
        errors = self._errors()
        proven = candidate is not None and candidate.id in self.loaded
        if candidate and candidate.token == self.failed_token and candidate.id in self.failed:
            errors.insert(0, str(self.failed[candidate.id][0]))
        return ReplicaRecord(
            instance=instance,
            beats=beats,
            doing=self._said(),
            progress=self.progress,
            proven={name: found.drift for name, found in self.loaded.items()},
            live=live if live in self.loaded else None,
            token=candidate.token if candidate and proven else None,
            failed=self.failed_token,
            error=errors[0] if errors else None,
        )

    def _errors(self) -> list[str]:
        names = wanted(self.pointer or Pointer(), self.store_time())
        return [str(self.failed[name][0]) for name in names if name in self.failed]

    def _said(self) -> str:
        if self.doing:
            return self.doing
        if self.away and (self.pointer is None or self.kept_s is not None):
            return f"the release store cannot be read: {self.away}"
        return next(iter(self._errors()), "")


def _proven(loaded: Loaded) -> ProvenRelease:
    cosine = loaded.drift.cosine.min
    return ProvenRelease(id=loaded.release.id, model=loaded.model, cosine=cosine, checked=loaded.checked)
