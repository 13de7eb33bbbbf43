"""The JSON objects of a release store: published releases, the live pointer, and leases."""

from typing import ClassVar

from embedtune.core.records.base import JsonRecord
from embedtune.serve.release.record import ReleaseRecord


class Published(JsonRecord):
    """A release in the store.

    Its version must also be raised when that of `ReleaseRecord` is.

    Attributes:
        published: Time of publication, as ISO 8601 in UTC.
        data: Where its files are, relative to the store's prefix.
        hashes: sha256 of each file by relative path, release.json included.
        size: Bytes of all files.
        release: The content of its release.json.
        model: Fingerprint of the model artifact it was made from.
    """

    NAME: ClassVar[str] = "published_release"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune deploy"

    published: str
    data: str
    hashes: dict[str, str]
    size: int
    release: ReleaseRecord
    model: str

    @property
    def id(self) -> str:
        """Its name: a hash of its content."""
        return self.release.id


class Live(JsonRecord):
    """The record of which release is live.

    Attributes:
        id: The release.
        since: Time it went live, as ISO 8601 in UTC.
        before: Ids of the releases that were live before it, newest last.
    """

    NAME: ClassVar[str] = "live_release"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune release promote ID"

    id: str
    since: str
    before: tuple[str, ...]


class LeaseRecord(JsonRecord):
    """The holder of a lease.

    Attributes:
        holder: Host and process, for people.
        token: Random, so that two leases of one process differ.
        renewals: How often it was renewed, so that each renewal has its own etag.
        data: For an upload or a deletion: where its files are.
        files: For an upload or a deletion: their paths under `data`.
    """

    NAME: ClassVar[str] = "lease"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune deploy"

    holder: str
    token: str
    renewals: int
    data: str | None = None
    files: tuple[str, ...] = ()
