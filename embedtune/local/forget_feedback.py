"""Forgets withdrawn documents and queries in feedback: its files are rewritten without them."""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from embedtune.core.records.feedback import Feedback, day_of
from embedtune.core.retrieval.quoted_answers import normal
from embedtune.local.withdrawn_text import WithdrawnText
from embedtune.serve.gateway.feedback.files import FeedbackFiles
from embedtune.serve.store.directory import DirectoryObjects
from embedtune.serve.store.objects import Objects


@dataclass(frozen=True)
class Withdrawn:
    """What feedback must not repeat.

    Attributes:
        text: The documents; None: none.
        queries: Queries in the words of those who asked; case and white space do not matter.
    """

    text: WithdrawnText | None
    queries: tuple[str, ...] = ()

    @cached_property
    def names(self) -> frozenset[str]:
        """Ids and paths of the documents, and ids of their passages."""
        text = self.text
        return frozenset() if text is None else text.chunk_ids | {*text.paths, *text.paths.values()}

    @cached_property
    def asked(self) -> frozenset[str]:
        """The queries, normalised."""
        return frozenset(map(normal, self.queries))

    def without(self, record: Feedback) -> Feedback | None:
        """Return what may stay of a record: without the documents among its results; None: nothing of it."""
        if normal(record.query) in self.asked or not self.names.isdisjoint(record.chosen):
            return None
        shown = tuple(name for name in record.shown if name not in self.names)
        if not shown or (self.text is not None and self.text.repeated_in([record.query])):
            return None
        return record.model_copy(update={"shown": shown})

    def mentioned(self, line: bytes) -> bool:
        """Return whether a line that is no feedback, such as one that was cut off, has a name or a query in it."""
        return any(words.encode() in line for words in (*self.names, *self.queries))


@dataclass(frozen=True)
class FeedbackFound:
    """What has to go from one place.

    Attributes:
        place: Its address.
        records: Number of records to delete.
        shortened: Number of records in which a document was shown, but not chosen: it leaves their results.
    """

    place: str
    records: int
    shortened: int

    @property
    def sentence(self) -> str:
        """What will be deleted."""
        more = f", and the documents from the results of {self.shortened} others" if self.shortened else ""
        return f"deletes {self.records} records of feedback in {self.place}{more}"


@dataclass(frozen=True)
class FeedbackPlace:
    """A place where gateways keep feedback.

    Args:
        objects: Its files.
    """

    objects: Objects

    def forget(self, withdrawn: Withdrawn, *, delete: bool) -> FeedbackFound:
        """Rewrite every file that repeats what was withdrawn; what a gateway adds meanwhile is not lost.

        Args:
            withdrawn: What has to go.
            delete: False: only count.
        """
        records = shortened = 0
        with self._alone(), tempfile.TemporaryDirectory(prefix="embedtune-") as folder:
            for key, file in self._files(Path(folder)):
                before = file.read_bytes().splitlines(keepends=True)
                after = [_kept(line, withdrawn) for line in before]
                gone, changed = after.count(b""), sum(old != new for old, new in zip(before, after, strict=True))
                records, shortened = records + gone, shortened + changed - gone
                if changed and delete:
                    self._replace(key, b"".join(after), Path(folder))
        return FeedbackFound(self.objects.uri, records, shortened)

    def _alone(self) -> AbstractContextManager[None]:
        # Files in an object store are complete: nobody adds to them.
        if isinstance(self.objects, DirectoryObjects):
            return FeedbackFiles(self.objects.folder, 0).locked()
        return nullcontext()

    def _files(self, folder: Path) -> Iterator[tuple[str, Path]]:
        for key in self.objects.keys(""):
            if day_of(key):
                self.objects.download(key, folder / "file")
                yield key, folder / "file"

    def _replace(self, key: str, data: bytes, folder: Path) -> None:
        if not data:
            self.objects.delete([key])
            return
        # Not the downloaded file, which may be a link to the one to replace.
        (folder / "new").unlink(missing_ok=True)
        (folder / "new").write_bytes(data)
        self.objects.upload(folder / "new", key)


def _kept(line: bytes, withdrawn: Withdrawn) -> bytes:
    """Return what may stay of a line: the line itself if nothing has to go, b"" if everything has to."""
    try:
        record = Feedback.model_validate_json(line)
    except ValidationError:
        return b"" if withdrawn.mentioned(line) else line
    left = withdrawn.without(record)
    if left is None:
        return b""
    return line if left == record else left.line
