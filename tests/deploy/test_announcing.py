"""A switch is announced in time or not at all: a write that the store accepts late would be seen too late."""

from pathlib import Path

import pytest

from embedtune.core.errors import StoreAwayError
from embedtune.core.records.base import JsonRecord
from embedtune.deploy import rollout
from embedtune.serve.store import pointer
from embedtune.serve.store.directory import DirectoryObjects
from embedtune.serve.store.records import Candidate, Pointer

NEXT = "b" * 64


class SlowStore(DirectoryObjects):
    """A store that does not answer the first writes of a switch in time; `lost`: it writes, and says nothing."""

    failures, lost = 2, False

    def write(self, key: str, record: JsonRecord, condition: str | None = None) -> str:
        if key == pointer.POINTER and isinstance(record, Pointer) and record.live == NEXT and self.failures:
            self.failures -= 1
            if self.lost:
                super().write(key, record, condition)
            raise StoreAwayError("it does not answer")
        return super().write(key, record, condition)


@pytest.mark.parametrize("lost", [False, True])
def test_a_switch_that_is_not_written_at_once_is_announced_again_with_a_new_moment(
    tmp_path: Path, lost: bool
) -> None:
    objects = SlowStore(tmp_path / "store")
    objects.lost = lost
    objects.write(pointer.POINTER, Pointer(live="a" * 64))
    candidate = Candidate(id=NEXT, token="t", hold=False)
    pointer.propose(objects, candidate)
    before = objects.now()
    at = rollout._switch(objects, candidate)
    assert pointer.read_pointer(objects).switch_at == at
    assert (pointer.read_pointer(objects).live, objects.failures) == (NEXT, 1 if lost else 0)
    if not lost:
        assert at - before >= pointer.AHEAD_S + 2 * rollout.POLL_S


def test_a_store_that_answers_too_slowly_announces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = DirectoryObjects(tmp_path / "store")
    objects.write(pointer.POINTER, Pointer(live="a" * 64))
    candidate = Candidate(id=NEXT, token="t", hold=False)
    pointer.propose(objects, candidate)
    monkeypatch.setattr(pointer, "SOON_S", -1.0)
    with pytest.raises(StoreAwayError, match="too slowly to announce a switch"):
        pointer.switch(objects, "t")
    assert pointer.read_pointer(objects).live == "a" * 64
