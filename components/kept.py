"""Keeps what a task has paid for in the object store while it works, and starts from what earlier ones have kept.

Under the address are `replies/HASH.jsonl.gz` (LLM replies, named by their content), `spending/CACHE.json` (what
each cache has paid for), `bundles/NAME` (which passages were asked about together) and `train/KEY/checkpoint-N/…`
(checkpoints of the training with these inputs and settings). A pod that is lost loses what came since the last
push, half a second ago, and what was in flight.
"""

import json
import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from embedtune.core.errors import EmbedtuneError
from embedtune.generate.kept_replies import Replies
from embedtune.serve.store.objects import Objects, file_below

log = logging.getLogger(__name__)
Kind = Literal["replies", "checkpoints"]
PAUSE_S = 0.5
SHARE = 10  # a push may take at most one part in this many of the time
LONGEST_PAUSE_S = 30.0
STATE = "trainer_state.json"  # transformers writes it last: a checkpoint without it is incomplete


class Part(Protocol):
    """One kind of what is kept."""

    def pull(self) -> int:
        """Bring what is kept into the cache, and return how much it is."""

    def push(self) -> None:
        """Keep what is new in the cache."""


class Checkpoints:
    """Complete checkpoints of trainings; one that the training deletes is deleted here too.

    Args:
        objects: The place.
        cache: The cache of the task.
    """

    def __init__(self, objects: Objects, cache: Path) -> None:
        self._objects, self._cache = objects, cache
        self._kept: set[str] = set()

    def pull(self) -> int:
        """Bring complete checkpoints into the cache, and return their number.

        The trainer needs the best one too: without it, a checkpoint is of no use.
        """
        keys = self._objects.keys("train/")
        complete = sorted(key.removesuffix(f"/{STATE}") for key in keys if key.endswith(f"/{STATE}"))
        for folder in complete:
            if file_below(self._cache, folder).exists():
                continue
            draft = self._cache / f".{folder.replace('/', '-')}.draft"
            shutil.rmtree(draft, ignore_errors=True)
            for key in keys:
                if key.startswith(f"{folder}/"):
                    self._objects.download(key, file_below(draft, key.removeprefix(f"{folder}/")))
            best = _move_best(draft / STATE, (self._cache / folder).parent)
            if best is not None and f"{folder.rpartition('/')[0]}/{best}" not in complete:
                shutil.rmtree(draft)
                continue
            (self._cache / folder).parent.mkdir(parents=True, exist_ok=True)
            draft.rename(self._cache / folder)
            self._kept.add(folder)
        return len(self._kept)

    def push(self) -> None:
        """Keep checkpoints that are complete, and delete those that are gone."""
        states = sorted((self._cache / "train").glob(f"**/checkpoint-*/{STATE}"))
        there = {state.parent.relative_to(self._cache).as_posix() for state in states}
        for folder in sorted(there - self._kept, key=_step):  # the best one before those that name it
            try:
                if self._is_of_use(folder):
                    self._upload(folder)
                    self._kept.add(folder)
            except (
                FileNotFoundError,
                json.JSONDecodeError,
            ):  # replaced meanwhile, or its state is just being written
                self._objects.delete(self._objects.keys(f"{folder}/"))
        if not there <= self._kept:
            return  # what is kept from earlier may be all that a lost pod can go on from
        for folder in sorted(self._kept - there):
            self._objects.delete(self._objects.keys(f"{folder}/"))
            self._kept.discard(folder)
            training = folder.rpartition("/")[0] + "/"
            if not any(other.startswith(training) for other in self._kept):
                # It has ended: what lost pods left incomplete goes too.
                self._objects.delete(self._objects.keys(training))

    def _is_of_use(self, folder: str) -> bool:
        """Return whether the best checkpoint that this one names is kept too, or is this one."""
        best = _best(json.loads((self._cache / folder / STATE).read_text()))
        return best is None or f"{folder.rpartition('/')[0]}/{best}" in {*self._kept, folder}

    def _upload(self, folder: str) -> None:
        local = self._cache / folder
        files = [file for file in sorted(local.rglob("*")) if file.is_file() and file.name != STATE]
        for file in (*files, local / STATE):
            self._objects.upload(file, f"{folder}/{file.relative_to(local).as_posix()}")


def _step(folder: str) -> int:
    return int(folder.rpartition("-")[2])


def _move_best(state: Path, into: Path) -> str | None:
    """Name the best checkpoint by where it is now: under its old path the trainer would not protect it.

    Returns:
        The name of the best checkpoint; None if none was measured.
    """
    data = json.loads(state.read_text())
    if (best := _best(data)) is None:
        return None
    data["best_model_checkpoint"] = str(into / best)
    state.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n")
    return best


def _best(state: dict[str, Any]) -> str | None:  # transformers' own format
    path = state.get("best_model_checkpoint")
    return Path(path).name if path else None


PARTS: dict[Kind, type[Replies] | type[Checkpoints]] = {"replies": Replies, "checkpoints": Checkpoints}


@contextmanager
def kept(objects: Objects | None, cache: Path, kind: Kind | None) -> Iterator[None]:
    """Start from what is kept, and keep what is new while the block runs.

    If the store fails meanwhile, the block goes on, and what is new is kept once the store answers again.

    Args:
        objects: The place; None: nothing is kept.
        cache: The cache of the task.
        kind: What the task pays for; None: nothing.

    Raises:
        EmbedtuneError: The store does not answer at the start, or what is kept is damaged.
    """
    if objects is None or kind is None:
        yield
        return
    part = PARTS[kind](objects, cache)
    log.info("%s from %s: %d", kind, objects.uri, part.pull())
    keeper = _Keeper(part, f"{kind} in {objects.uri}")
    thread = threading.Thread(target=keeper.work, daemon=True, name="kept")
    thread.start()
    try:
        yield
    finally:
        keeper.stop.set()
        thread.join()
        keeper.push()


class _Keeper:
    """Pushes again and again; an outage is said once.

    Args:
        part: What is kept.
        what: Its name, for messages.
    """

    def __init__(self, part: Part, what: str) -> None:
        self.stop = threading.Event()
        self._part, self._what = part, what
        self._failing = False

    def work(self) -> None:
        pause = PAUSE_S
        while not self.stop.wait(pause):
            started = time.monotonic()
            self.push()
            pause = min(LONGEST_PAUSE_S, max(PAUSE_S, SHARE * (time.monotonic() - started)))

    def push(self) -> None:
        try:
            self._part.push()
        except (EmbedtuneError, OSError, sqlite3.Error) as error:
            if not self._failing:
                log.warning("cannot keep %s; the task goes on, and tries again: %s", self._what, error)
            self._failing = True
        else:
            if self._failing:
                log.info("keeping %s again", self._what)
            self._failing = False
