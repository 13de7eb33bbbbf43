"""Downloads a large object in ranges: several at once, each tried again; what an earlier attempt got is kept."""

import os
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.records.base import JsonRecord, read_record, render_record

RANGE = 32 << 20  # bytes
AT_ONCE = 4
TRIES, WAIT_S = 4, 1.0  # of a range; the wait doubles
BLOCK = 1 << 20
SPARE = 64 << 20  # bytes of the disk that a download leaves: a full disk would keep others from writing
REFUSED = ("AccessDenied", "NoSuchKey", "PreconditionFailed")  # asking again changes nothing
PART, NOTES = ".part", ".ranges.json"  # names of an unfinished file, and of what is known about it


class Ranges(JsonRecord):
    """What an unfinished file holds.

    Args:
        etag: The version of the object.
        size: Its bytes.
        range: Bytes of a range.
        done: The numbers of the ranges that are complete.
    """

    NAME = "ranges"
    VERSION = 1
    REMAKE = "embedtune serve"

    etag: str
    size: int
    range: int
    done: tuple[int, ...] = ()


@dataclass
class _Download:
    """One object on its way to a file."""

    client: Minio
    bucket: str
    name: str
    file: Path
    known: Ranges
    lock: threading.Lock = field(default_factory=threading.Lock)

    def missing(self) -> Sequence[int]:
        whole = -(-self.known.size // self.known.range)
        return [number for number in range(whole) if number not in self.known.done]

    def get(self, number: int) -> None:
        """Fetch a range, a few times if the connection breaks."""
        for attempt in range(TRIES):
            try:
                self._get(number)
                break
            except (MinioException, HTTPError) as error:
                refused = isinstance(error, S3Error) and error.code in (
                    "AccessDenied",
                    "PreconditionFailed",
                    "NoSuchKey",
                )
                if refused or attempt == TRIES - 1:
                    raise
                time.sleep(WAIT_S * 2**attempt)
        with self.lock:
            self.known = self.known.model_copy(update={"done": (*self.known.done, number)})
            _note(self.file, self.known)

    def _get(self, number: int) -> None:
        start = number * self.known.range
        length = min(self.known.range, self.known.size - start)
        response = self.client.get_object(
            self.bucket,
            self.name,
            offset=start,
            length=length,
            request_headers={"If-Match": f'"{self.known.etag}"'},
        )
        at = start
        try:
            with _hidden(self.file, PART).open("r+b") as stream:
                stream.seek(start)
                for block in response.stream(BLOCK):
                    at += stream.write(block)
                stream.flush()
                os.fsync(stream.fileno())  # before it is noted as complete
        finally:
            response.close()
            response.release_conn()
        if at != start + length:
            raise HTTPError(f"{at - start:,} of {length:,} bytes arrived")


def download_ranges(client: Minio, bucket: str, name: str, file: Path, size: int = RANGE) -> None:
    """Write an object to a file, which appears when it is complete and flushed to disk.

    An interrupted download of the same version goes on.

    The content is not verified: whoever calls compares its hash.

    Args:
        client: The store.
        bucket: The bucket.
        name: The object.
        file: Where to.
        size: Bytes of a range.

    Raises:
        MinioException: The store refuses, or the object has changed meanwhile.
        HTTPError: It does not answer, or breaks off again and again.
    """
    found = client.stat_object(bucket, name)
    fresh = Ranges(etag=str(found.etag), size=int(found.size or 0), range=size)
    part = _hidden(file, PART)
    known = _kept(file, fresh) or fresh
    _require_room(file, fresh.size - len(known.done) * size)
    if known is fresh:
        with part.open("wb") as stream:
            stream.truncate(fresh.size)
        _note(file, fresh)
    download = _Download(client, bucket, name, file, known)
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for done in [pool.submit(download.get, number) for number in download.missing()]:
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)
    part.replace(file)
    _hidden(file, NOTES).unlink()


def _require_room(file: Path, size: int) -> None:
    if (free := shutil.disk_usage(file.parent).free) < size + SPARE:
        raise InputError(
            "there is no room for a file of the release store",
            got=f"{size:,} bytes for {file.name}, {free:,} are free in {file.parent}",
            expected=f"{SPARE:,} bytes more than the file has",
            fix="make room, or give the replica a larger disk",
        )


def _kept(file: Path, fresh: Ranges) -> Ranges | None:
    """Return what an unfinished file of the same version holds; None: nothing of use."""
    try:
        known = read_record(_hidden(file, NOTES), Ranges)
        there = _hidden(file, PART).stat().st_size
    except (ArtifactError, OSError):
        return None
    same = known.model_copy(update={"done": ()}) == fresh and there == fresh.size
    return known if same else None


def _note(file: Path, known: Ranges) -> None:
    draft = _hidden(file, f"{NOTES}.draft")
    draft.write_text(render_record(known))
    draft.replace(_hidden(file, NOTES))


def _hidden(file: Path, suffix: str) -> Path:
    return file.with_name(f".{file.name}{suffix}")
