"""LLM replies outside the cache of this run: brought from there at its start, and kept there as they arrive.

What they cost is kept too, one object per cache, so that the ceiling holds for all of them together.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from embedtune.generate.reply_source import REPLIES
from embedtune.llm.accounts import Account, add_account, own_account
from embedtune.llm.kept_replies import add_replies, new_replies, pack, unpack
from embedtune.serve.store.objects import Objects, file_below

SPENDING = "spending/"
MERGE_ABOVE = 100  # objects with replies; more are merged into one when a run starts


class Replies:
    """LLM replies, and the bundles that they were asked about.

    Args:
        objects: The place.
        cache: The cache of the task.
    """

    def __init__(self, objects: Objects, cache: Path) -> None:
        self._objects, self._cache = objects, cache
        self._known: set[str] = set()
        self._bundles: dict[str, bytes] = {}
        self._spent: Account | None = None

    def pull(self) -> int:
        """Bring replies, bundles and what others have spent into the cache, and return the number of replies."""
        self._cache.mkdir(parents=True, exist_ok=True)
        for key in self._objects.keys(SPENDING):
            if found := self._objects.read(key):
                add_account(self._cache / REPLIES, found.parse(Account))
        for key in self._objects.keys("bundles/"):
            file = file_below(self._cache, key.removeprefix("bundles/"))
            if not file.exists():
                self._objects.download(key, file)
        read: list[str] = []
        while missing := [key for key in self._objects.keys("replies/") if key not in read]:
            for key in missing:
                data = _read(self._objects, key)
                read.append(key)
                if data is not None:  # else it was merged into another one meanwhile
                    replies = unpack(data, self._objects.uri + key)
                    add_replies(self._cache / REPLIES, replies)
                    self._known |= {reply.row.key for reply in replies}
        if len(read) > MERGE_ABOVE:
            self._merge(read)
        return len(self._known)

    def push(self) -> None:
        """Keep what was spent, then bundles, then replies, which are found again only with the same bundles."""
        if (spent := own_account(self._cache / REPLIES)) != self._spent and spent.usd:
            self._objects.write(f"{SPENDING}{spent.cache}.json", spent)
            self._spent = spent
        for file in sorted(self._cache.glob("bundles-*.json")):
            content = file.read_bytes()
            if self._bundles.get(file.name) != content:
                _write(self._objects, f"bundles/{file.name}", content)
                self._bundles[file.name] = content
        replies = new_replies(self._cache / REPLIES, self._known)
        if replies:
            data = pack(replies)
            _write(self._objects, _name(data), data)
            self._known |= {reply.row.key for reply in replies}

    def _merge(self, old: Sequence[str]) -> None:
        data = pack(reply for reply in new_replies(self._cache / REPLIES, ()) if reply.row.key in self._known)
        _write(self._objects, _name(data), data)
        self._objects.delete([key for key in old if key != _name(data)])


def _name(data: bytes) -> str:
    return f"replies/{hashlib.sha256(data).hexdigest()[:32]}.jsonl.gz"


def _read(objects: Objects, key: str) -> bytes | None:
    """Return the content of an object, or None if it is gone by now."""
    found = objects.read(key)
    return found.text if found else None


def _write(objects: Objects, key: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data"
        file.write_bytes(data)
        objects.upload(file, key)
