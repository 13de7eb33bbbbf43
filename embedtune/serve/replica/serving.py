"""What a replica answers with: a file that its follower keeps current, and that gateways on the same machine read.

Times in it are those of this machine's monotonic clock, which its containers share.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from embedtune.core.records.base import JsonRecord, Part, read_record, render_record

SERVING_FILE = "serving.json"
DOWNLOADS = "releases"  # folder next to it, with one directory per downloaded release
# A follower that has not written for this long has stopped. It must be less than GONE_S in store/replicas.py,
# after which a deployment no longer waits for it.
SILENT_S = 30.0
LONGEST_PAUSE_S = 2.0  # a request waits no longer for a switch


class ProvenRelease(Part):
    """A release that this Triton has loaded and proven.

    Attributes:
        id: The release.
        model: Its endpoint model in Triton. Each load makes a new name, so that a name never means another one.
        cosine: Lowest cosine similarity with its reference vectors when they were last compared.
        checked: When that was.
    """

    id: str
    model: str
    cosine: float | None = None
    checked: float | None = None


class Serving(JsonRecord):
    """What a replica answers with.

    Attributes:
        written: When this was written.
        proven: The releases that may answer.
        live: The release that answers requests that pin none; None: none does.
        next: The release that does so from `switch_at` on; None: no switch is known.
        pause_at: The earliest moment at which the switch may be: from then on `live` no longer answers.
        switch_at: The latest one. They differ by what is not known about the store's clock; between them neither
            release answers.
        fence_at: From then on nothing but a newer file may be trusted; None: no switch can come.
        candidate: The release that is to be live next.
        doing: Why nothing answers, for people.
        drifts: How often a running model no longer returned its reference vectors, since this Triton started.
        read_at: When the pointer was read that this goes by; None: none was.
        kept: That was before this replica started: it has not been able to read the store.
    """

    NAME: ClassVar[str] = "serving"
    VERSION: ClassVar[int] = 4
    REMAKE: ClassVar[str] = "embedtune serve"

    written: float
    proven: tuple[ProvenRelease, ...] = ()
    live: str | None = None
    next: str | None = None
    pause_at: float | None = None
    switch_at: float | None = None
    fence_at: float | None = None
    candidate: str | None = None
    doing: str = ""
    drifts: int = 0
    read_at: float | None = None
    kept: bool = False

    def model_of(self, name: str) -> str | None:
        """Return the endpoint model of a release, or None if it may not answer."""
        return next((entry.model for entry in self.proven if entry.id == name), None)

    def live_at(self, now: float) -> str | None:
        """Return the release that answers requests that pin none; None: whoever asks has to try again later.

        Args:
            now: The time, by the monotonic clock.
        """
        if now > self.written + SILENT_S or (self.fence_at is not None and now > self.fence_at):
            return None
        if self.switch_at is not None and now >= self.switch_at:
            name = self.next
        else:
            name = self.live if self.pause_at is None or now < self.pause_at else None
        return name if name is not None and self.model_of(name) else None

    def pause(self, now: float) -> float:
        """Return how long a request should wait for the switch, in seconds; 0: not at all.

        Args:
            now: The time, by the monotonic clock.
        """
        if self.pause_at is None or self.switch_at is None or not self.pause_at <= now < self.switch_at:
            return 0.0
        return self.switch_at - now if self.live_at(self.switch_at) else 0.0


def write_serving(file: Path, serving: Serving) -> None:
    """Replace the file at once, so that no reader sees half of it."""
    draft = file.with_name(f".{file.name}.draft")
    draft.write_text(render_record(serving))
    draft.replace(file)


class ServingReader:
    """Reads the file again whenever it was replaced.

    Args:
        file: The file.
        clock: The monotonic clock.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._seen: tuple[int, int] | None = None
        self._serving = Serving(written=0.0)

    def now(self) -> float:
        """Return the time by which the file counts."""
        return self._clock()

    def read(self) -> Serving:
        """Return what the replica answers with; nothing while there is no file.

        Raises:
            ArtifactError: It was written by a different version of embedtune.
        """
        try:
            found = self._file.stat()
        except OSError:
            return Serving(written=self._clock(), doing="the server has not started yet")
        mark = (found.st_ino, found.st_mtime_ns)
        if mark != self._seen:
            self._serving, self._seen = read_record(self._file, Serving), mark
        return self._serving


def silent(serving: Serving, now: float) -> bool:
    """Return whether the follower that wrote this has stopped."""
    return now > serving.written + SILENT_S
