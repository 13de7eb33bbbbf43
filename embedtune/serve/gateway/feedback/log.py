"""Writes feedback to files, and files to an object store, in threads of its own: no request waits for either.

Accepted feedback is in memory for up to `FLUSH_S`, and longer while the disk cannot be written; then it is on the
disk, and with an object store there as well after `UPLOAD_S`. A store that is away only delays the last step.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.config.masking import MaskSettings
from embedtune.core.errors import EmbedtuneError, InputError
from embedtune.core.records.feedback import Feedback, day_of, today
from embedtune.serve.gateway.feedback.files import FeedbackFiles, NoSpaceError, first_day_kept
from embedtune.serve.gateway.feedback.masking import Masker
from embedtune.serve.gateway.metrics import FeedbackMetrics
from embedtune.serve.store.objects import Objects

log = logging.getLogger(__name__)
FLUSH_S = 0.5
RETRY_S = 5.0  # while files cannot be written
UPLOAD_S = 300.0  # a bucket should not fill with tiny files
EXPIRE_S = 3600.0
CLOSE_S = 10.0  # Kubernetes kills a pod after a time that also has to suffice for Triton
QUEUE_BYTES = 16 << 20  # in memory
MASKER_ENDS = 3  # in a row


@dataclass(frozen=True)
class FeedbackOptions:
    """Where feedback goes, and for how long.

    Args:
        folder: Directory of the files: the place itself, or where they wait for the object store.
        objects: The object store; None: the folder is the place.
        days: How long feedback is kept.
        max_bytes: How much may be in the folder.
        mask: Personal data to mask in queries; None: none.
    """

    folder: Path
    objects: Objects | None = None
    days: int = 90
    max_bytes: int = 100_000_000
    mask: MaskSettings | None = None


class FeedbackLog:
    """Feedback on its way to the place where it is kept.

    Args:
        options: Where it goes.
        metrics: Updated with what is written and dropped.
        clock: Seconds.

    Raises:
        ConfigError: Personal data cannot be masked here.
        InputError: The folder cannot be written.
    """

    def __init__(
        self, options: FeedbackOptions, metrics: FeedbackMetrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._options, self._metrics, self._clock = options, metrics, clock
        self._files = FeedbackFiles(options.folder, options.max_bytes)
        try:
            with self._files.locked():
                metrics.disk_bytes.set_function(self._files.size)
        except OSError as error:
            raise InputError(
                "feedback cannot be written", got=f"{options.folder}: {error.strerror}", expected="a directory"
            ) from error
        self._masker = Masker(options.mask) if options.mask else None
        self._masker_ends = 0
        self._queue: list[tuple[Feedback, int]] = []  # with the size of each
        self._queued_bytes = 0
        self._lock = threading.Lock()  # of the two above
        self._stop = threading.Event()
        self._trouble = ""
        self._writer = threading.Thread(target=self._write, name="feedback-writer", daemon=True)
        self._keeper = threading.Thread(target=self._keep, name="feedback-keeper", daemon=True)

    def start(self) -> None:
        """Start to write."""
        self._writer.start()
        self._keeper.start()

    def add(self, feedback: Feedback, size: int) -> bool:
        """Take feedback, without waiting; return whether there was room for it.

        Args:
            feedback: What a person chose.
            size: Its size in bytes.
        """
        with self._lock:
            room = self._queued_bytes + size <= QUEUE_BYTES
            if room:
                self._queue.append((feedback, size))
                self._queued_bytes += size
        if room:
            self._metrics.accepted.inc()
        else:
            self._drop(1, "full")
        return room

    def close(self) -> None:
        """Write everything that was accepted; give up after `CLOSE_S`, and say what is not where it belongs."""
        deadline = self._clock() + CLOSE_S
        self._stop.set()
        for thread in (self._writer, self._keeper):
            thread.join(max(0.0, deadline - self._clock()))
        with self._lock:
            lost = len(self._queue)
        if lost:
            self._drop(lost, "stopped")
            log.error("%d records of feedback are lost: %s", lost, self._trouble or "there was no time left")
        if (store := self._options.objects) is not None and (left := self._files.lines()):
            what = "%d records of feedback wait in %s; the next gateway with this folder sends them to %s"
            log.warning(what, left, self._options.folder, store.uri)
        if self._masker is not None:
            self._masker.close()

    def _write(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(RETRY_S if self._trouble else FLUSH_S)
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            taken = self._queue[:]
        if not taken:
            return
        masked = self._masked([feedback for feedback, _ in taken])
        if masked is None:
            return
        try:
            if masked:
                self._files.append(today(), [feedback.line for feedback in masked])
        except (OSError, NoSpaceError) as error:
            bound = f"{self._options.folder} has reached its bound (--feedback-max-mb)"
            self._say(bound if isinstance(error, NoSpaceError) else f"{self._options.folder}: {error.strerror}")
            return
        self._say("")
        with self._lock:
            del self._queue[: len(taken)]
            self._queued_bytes -= sum(size for _, size in taken)
        if failed := len(taken) - len(masked):
            self._drop(failed, "unmasked")
            log.error("%d records of feedback were dropped: their queries could not be masked", failed)
        if self._options.objects is None:
            self._metrics.written.inc(len(masked))

    def _masked(self, feedback: list[Feedback]) -> list[Feedback] | None:
        """Return feedback without personal data, and without what cannot be masked; None: try again."""
        if self._masker is None:
            return feedback
        queries = self._masker.mask([one.query for one in feedback])
        if queries is None:
            self._masker_ends += 1
            if self._masker_ends < MASKER_ENDS:
                return None
            queries = [None] * len(feedback)
        self._masker_ends = 0
        pairs = zip(feedback, queries, strict=True)
        return [one.model_copy(update={"query": query}) for one, query in pairs if query is not None]

    def _keep(self) -> None:
        """Send files to the object store, and delete old ones."""
        expired = -EXPIRE_S
        stopping = False
        while True:
            if stopping:
                self._writer.join()
            self._upload()
            if not stopping and self._clock() - expired >= EXPIRE_S:
                expired = self._clock()
                self._expire()
            if stopping:
                return
            stopping = self._stop.wait(UPLOAD_S)

    def _upload(self) -> None:
        if (store := self._options.objects) is None:
            return
        try:
            for path in self._files.seal():
                lines = path.read_bytes().count(b"\n")
                store.upload(path, path.name)
                path.unlink(missing_ok=True)
                self._metrics.written.inc(lines)
        except (EmbedtuneError, OSError) as error:
            log.warning("feedback waits in %s until it can be sent: %s", self._options.folder, error)

    def _expire(self) -> None:
        first = first_day_kept(today(), self._options.days)
        try:
            deleted = self._files.delete_before(first)
            if (store := self._options.objects) is not None:
                old = [key for key in store.keys("") if (day_of(key) or first) < first]
                store.delete(old)
                deleted += old
        except (EmbedtuneError, OSError) as error:
            log.warning("old feedback could not be deleted: %s", error)
            return
        if deleted:
            log.info(
                "%d files of feedback of more than %d days ago were deleted", len(deleted), self._options.days
            )

    def _drop(self, count: int, reason: str) -> None:
        self._metrics.dropped.labels(reason).inc(count)

    def _say(self, trouble: str) -> None:
        """Log what keeps feedback from being written, once for as long as it is the same."""
        if trouble and trouble != self._trouble:
            log.error("feedback cannot be written and waits in memory: %s", trouble)
        self._trouble = trouble
