"""A prefix of a bucket: the model's files, and one that lists them with their hashes."""

from typing import ClassVar

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import InputError
from embedtune.core.records.base import JsonRecord
from embedtune.push.contents import Contents
from embedtune.push.target import FOLDER, Credentials, Found, Pushed
from embedtune.serve.store.objects import ABSENT, S3Objects

LIST = "embedtune-push.json"


class PushedFiles(JsonRecord):
    """The files of a push; written last, so that a push without it was interrupted.

    Attributes:
        files: The SHA-256 of each file, by name.
    """

    NAME: ClassVar[str] = "pushed-files"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune push"

    files: dict[str, str]


class BucketTarget:
    """A prefix of a bucket. Readers see files change one by one: a prefix per model avoids that.

    Args:
        address: `s3://BUCKET/PREFIX`.
        credentials: Keys of the store.
        storage: The store.

    Raises:
        InputError: The address is wrong.
        ConfigError: The store is not configured.
    """

    model = FOLDER

    def __init__(self, address: str, credentials: Credentials, storage: StorageSettings) -> None:
        self._objects = S3Objects(address, storage, credentials.storage)
        self.download: str | None = f"aws s3 sync {self._objects.uri} {FOLDER}"

    def inspect(self) -> Found:
        """Say what is there."""
        if self._objects.read(LIST) is not None:
            return Found("a model that was pushed before, which is replaced file by file")
        there = self._objects.keys("")
        return Found(
            f"{len(there)} files without a finished push: an interrupted one, or not ours" if there else "nothing"
        )

    def push(self, contents: Contents, *, public: bool) -> Pushed:
        """Upload what differs from the last push, then the list, then delete what the last push had in addition.

        Raises:
            InputError: The store refuses, or the prefix holds objects of others.
            ConflictError: Somebody else pushed to it in the meantime.
        """
        listed = self._objects.read(LIST)
        before = listed.parse(PushedFiles).files if listed else {}
        there = set(self._objects.keys(""))
        hashes = contents.hashes()
        others = sorted(there - set(before) - set(hashes) - {LIST})
        if others:
            raise InputError(
                "the prefix holds objects that no push wrote",
                got=", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else ""),
                fix=f"push to a prefix of its own, for example {self._objects.uri}my-model",
            )
        if before == hashes and set(hashes) <= there:
            return Pushed(self._objects.uri, changed=False)
        for name, digest in hashes.items():
            if before.get(name) != digest or name not in there:
                self._objects.upload(contents.files[name], name)
        self._objects.write(LIST, PushedFiles(files=hashes), listed.etag if listed else ABSENT)
        self._objects.delete(sorted(set(before) - set(hashes)))
        return Pushed(self._objects.uri, changed=True)
