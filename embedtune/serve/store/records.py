"""The JSON objects of a release store: releases, models, the pointer, the state of each replica, and leases."""

from datetime import UTC, datetime
from typing import ClassVar

from embedtune.core.records.base import JsonRecord, Part
from embedtune.core.records.deployment import EndpointDrift
from embedtune.serve.release.record import ReleaseRecord


class Published(JsonRecord):
    """A release in the store.

    Its version must also be raised when that of `ReleaseRecord` is.

    Attributes:
        published: Time of publication, as ISO 8601 in UTC.
        data: Where its files are, relative to the store's prefix.
        size: Bytes of all files.
        release: The content of its release.json.
        model: Fingerprint of the model artifact it was made from.
        signature: Ed25519 signature of its id in base64; None: it is not signed.
    """

    NAME: ClassVar[str] = "published_release"
    VERSION: ClassVar[int] = 2
    REMAKE: ClassVar[str] = "embedtune deploy"

    published: str
    data: str
    size: int
    release: ReleaseRecord
    model: str
    signature: str | None = None

    @property
    def id(self) -> str:
        """Its name: a hash of its content."""
        return self.release.id


class StoredModel(JsonRecord):
    """A model that releases were made from, whole: weights, tokenizer, contract and manifest.

    Attributes:
        stored: Time, as ISO 8601 in UTC.
        data: Where its files are, relative to the store's prefix.
        size: Bytes of all files.
        model: Fingerprint of the model artifact.
        files: Their paths under `data`; their hashes are in the artifact's manifest.
    """

    NAME: ClassVar[str] = "stored_model"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune deploy"

    stored: str
    data: str
    size: int
    model: str
    files: tuple[str, ...]


class Candidate(Part):
    """A release that replicas load and prove.

    Attributes:
        id: The release.
        token: Random: a confirmation names the attempt that it belongs to.
        hold: Whether it waits for `embedtune release flip`; if not, a switch may follow at any moment.
        alone: Whether there is no memory for two: the live release is unloaded first, and nothing answers
            meanwhile.
        back: It was live before; those that were live since then are forgotten at the switch.
        until: Unless the deployment extends it, no switch follows after this, in seconds since 1970 by the store's
            clock: one that was killed must not keep replicas on their guard forever.
    """

    id: str
    token: str
    hold: bool
    alone: bool = False
    back: bool = False
    until: float = 0.0


class Pointer(JsonRecord):
    """Which release is live, and which one is to follow it.

    Attributes:
        live: The release that answers from `switch_at` on; None: none yet.
        since: Time it was recorded, as ISO 8601 in UTC.
        switch_at: The moment of the switch, in seconds since 1970 by the store's clock. Until then `kept` answers.
        kept: The release that was live before, which stays loaded for a way back.
        before: Releases that were live before, newest last.
        candidate: The release that is to be live next.
    """

    NAME: ClassVar[str] = "release_pointer"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune release promote ID"

    live: str | None = None
    since: str | None = None
    switch_at: float = 0.0
    kept: str | None = None
    before: tuple[str, ...] = ()
    candidate: Candidate | None = None


class ReplicaRecord(JsonRecord):
    """The state of one replica, which it writes itself; the age of the object is that of its last sign of life.

    Attributes:
        instance: Random, made by each start of its Triton.
        beats: How often it was written, so that each write changes it.
        doing: What it is doing, for people.
        progress: Raised whenever a step of its work is done.
        proven: For each release that this instance has loaded and proven: how close its vectors are.
        live: The release that it answers with now; None: it answers no client.
        token: The attempt of the candidate that it has proven; None: not yet.
        failed: The attempt of the candidate that failed here; None: none did.
        error: Why that, or the live release, failed.
    """

    NAME: ClassVar[str] = "replica"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune serve"

    instance: str
    beats: int
    doing: str
    progress: int
    proven: dict[str, EndpointDrift]
    live: str | None = None
    token: str | None = None
    failed: str | None = None
    error: str | None = None


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


def timestamp() -> str:
    """Return the time as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
