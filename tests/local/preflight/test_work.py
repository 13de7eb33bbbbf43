"""The work directory: what another user has written there is named before anything is done."""

from pathlib import Path

import pytest

from embedtune.core.config.load import parse_config
from embedtune.core.errors import InputError
from embedtune.core.secrets import Secrets
from embedtune.local.preflight.finding import IntendedRun
from embedtune.local.preflight.work import check_work
from tests.support.other_user import as_nobody, close


def intended(work: Path) -> IntendedRun:
    config = parse_config({"contract": {"base_model": "./none", "dimensions": [8]}})
    return IntendedRun(config, Secrets(), frozenset({"train"}), work)


def test_a_work_directory_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    list(check_work(intended(tmp_path / "new" / "work")))
    assert list(tmp_path.iterdir()) == []
    for folder in ("/proc/1", "/sys"):  # where not even root may write
        with pytest.raises(InputError, match="cannot be written to") as caught:
            list(check_work(intended(Path(folder) / "work")))
        assert "--work" in str(caught.value.fix)


def test_a_cache_of_another_user_is_named_before_anything_is_done(open_folder):
    work = intended(open_folder / "work")
    cache = open_folder / "work" / "cache"
    cache.mkdir(parents=True)
    (cache / "llm.sqlite").touch()
    list(check_work(work))  # as the user who made it; and imports what it needs
    (open_folder / "work").chmod(0o777)
    cache.chmod(0o777)
    close(cache / "llm.sqlite", 0o444)
    with as_nobody(), pytest.raises(InputError, match="belongs to another user") as caught:
        list(check_work(work))
    assert caught.value.got == str(cache / "llm.sqlite") and "right to write" in str(caught.value.fix)
    (cache / "llm.sqlite").chmod(0o666)
    with as_nobody():
        assert [one.status for one in list(check_work(work))] == ["fine"]


def test_an_artifact_of_another_user_is_a_note_since_its_stage_may_not_run(open_folder):
    work = intended(open_folder)
    (open_folder / "chunks").mkdir()
    close(open_folder / "chunks")
    with as_nobody():
        noted, fine = list(check_work(work))
    assert (noted.status, fine.status) == ("note", "fine") and "chunks" in noted.found
