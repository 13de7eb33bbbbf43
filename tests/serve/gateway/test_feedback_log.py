"""The log of feedback: nothing accepted is lost to a full disk, an outage of the store, or a stop."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from embedtune.core.config.masking import MaskSettings
from embedtune.core.errors import InputError, StoreAwayError
from embedtune.core.records.feedback import Feedback, FeedbackReader, file_name, today
from embedtune.serve.gateway.feedback import log as module
from embedtune.serve.gateway.feedback import masking
from embedtune.serve.gateway.feedback.files import FeedbackFiles, NoSpaceError, first_day_kept
from embedtune.serve.gateway.feedback.log import FeedbackLog, FeedbackOptions
from embedtune.serve.gateway.feedback.masking import Masker
from embedtune.serve.gateway.metrics import FeedbackMetrics
from embedtune.serve.store.directory import DirectoryObjects
from embedtune.serve.store.objects import S3Objects
from tests.support.feedback import DAY, chose, write_feedback
from tests.support.object_store import SECRETS, STORAGE, a_bucket, needs_server
from tests.support.waiting import wait_until


class Registry:
    """The metrics of one log."""

    def __init__(self) -> None:
        self.own = CollectorRegistry()
        self.metrics = FeedbackMetrics(self.own)

    def __getitem__(self, name: str) -> float:
        name, _, reason = name.partition(" ")
        labels = {"reason": reason} if reason else {}
        return self.own.get_sample_value(f"embedtune_gateway_feedback_{name}_total", labels) or 0.0


@contextmanager
def running(options: FeedbackOptions) -> Iterator[tuple[FeedbackLog, Registry]]:
    registry = Registry()
    log = FeedbackLog(options, registry.metrics)
    log.start()
    try:
        yield log, registry
    finally:
        log.close()


def queries(folder: Path) -> list[str]:
    return [record.query for record in FeedbackReader().read(sorted(folder.glob("feedback-*.jsonl")))]


class AwayObjects(DirectoryObjects):
    """An object store that can be away."""

    away = True

    def upload(self, file: Path, key: str) -> None:
        if self.away:
            raise StoreAwayError("the object store did not answer")
        super().upload(file, key)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may need longer to write than a pod that ends."""
    monkeypatch.setattr(module, "CLOSE_S", 300.0)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("FLUSH_S", 0.01), ("RETRY_S", 0.01), ("UPLOAD_S", 0.02)):
        monkeypatch.setattr(module, name, seconds)


@pytest.mark.usefixtures("fast")
def test_during_an_outage_feedback_waits_on_the_disk_and_then_reaches_the_store(tmp_path: Path) -> None:
    store = AwayObjects(tmp_path / "store")
    with running(FeedbackOptions(tmp_path / "waiting", store)) as (log, registry):
        log.add(chose("during", "a"), 100)
        wait_until(lambda: queries(tmp_path / "waiting") == ["during"])
        assert registry["written"] == 0
        store.away = False
        wait_until(lambda: queries(tmp_path / "store") == ["during"])
        log.add(chose("after", "a"), 100)
    assert sorted(queries(tmp_path / "store")) == ["after", "during"]
    assert not list((tmp_path / "waiting").glob("feedback-*"))
    assert (registry["accepted"], registry["written"]) == (2, 2)


def test_what_one_gateway_could_not_send_the_next_one_sends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = AwayObjects(tmp_path / "store")
    with running(FeedbackOptions(tmp_path / "waiting", store)) as (log, _):
        log.add(chose("first", "a"), 100)
    assert "1 records of feedback wait in" in caplog.text
    store.away = False
    with running(FeedbackOptions(tmp_path / "waiting", store)):
        pass
    assert queries(tmp_path / "store") == ["first"]


@pytest.mark.usefixtures("fast")
def test_a_full_disk_keeps_feedback_in_memory_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed = threading.Event()
    fsync = os.fsync

    def full(_: int) -> None:
        failed.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with running(FeedbackOptions(tmp_path)) as (log, registry):
        log.add(chose("kept", "a"), 100)
        assert failed.wait(60)
        monkeypatch.setattr(os, "fsync", fsync)
        wait_until(lambda: registry["written"] == 1)
    assert queries(tmp_path) == ["kept"]  # once, although it was tried several times
    assert caplog.text.count("No space left on device") == 1
    assert "kept" not in caplog.text


@pytest.mark.usefixtures("fast")
def test_at_the_bound_of_the_folder_and_of_the_memory_more_is_refused_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "QUEUE_BYTES", 250)
    with running(FeedbackOptions(tmp_path, max_bytes=10)) as (log, registry):
        assert [log.add(chose("q", "a"), 100) for _ in range(3)] == [True, True, False]
        assert (registry["accepted"], registry["dropped full"]) == (2, 1)
        wait_until(lambda: "has reached its bound (--feedback-max-mb)" in caplog.text)
    assert registry["dropped stopped"] == 2
    assert "2 records of feedback are lost" in caplog.text


def test_files_are_deleted_after_the_days_that_they_are_kept(tmp_path: Path) -> None:
    store = DirectoryObjects(tmp_path / "store")
    for folder in (tmp_path / "waiting", tmp_path / "store"):
        for days in (30, 31):
            write_feedback(folder, chose(f"{days} days ago", "a"), day=today() - timedelta(days=days))
        (folder / "feedback-2001-02-30.jsonl").write_text("no day")
        (folder / "mine.jsonl").write_text("another file")
    with running(FeedbackOptions(tmp_path / "waiting", store, days=30)):
        wait_until(lambda: not FeedbackFiles(tmp_path / "waiting", 1).names())
        wait_until(lambda: sorted(queries_of_days(tmp_path / "store")) == ["30 days ago", "30 days ago"])
    for folder in (tmp_path / "waiting", tmp_path / "store"):
        assert (folder / "mine.jsonl").is_file()
        assert (folder / "feedback-2001-02-30.jsonl").is_file()


def queries_of_days(folder: Path) -> list[str]:
    return [record.query for record in FeedbackReader().read(FeedbackFiles(folder, 1).names())]


def test_ninety_days_are_counted_from_the_day_itself() -> None:
    assert first_day_kept(date(2026, 11, 30), 90) == date(2026, 9, 1)


def test_a_line_that_a_crash_cut_off_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    files = FeedbackFiles(tmp_path, 10_000)
    files.append(DAY, [chose("whole", "a").line])
    with (tmp_path / file_name(DAY)).open("ab") as stream:
        stream.write(chose("cut off", "a").line[:40])
    files.append(DAY, [chose("next", "a").line])
    reader = FeedbackReader()
    assert [record.query for record in reader.read(files.names())] == ["whole", "next"]
    assert reader.unreadable == 1
    assert ":2: " in reader.first


def test_a_failed_write_leaves_no_half_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = FeedbackFiles(tmp_path, 10_000)
    files.append(DAY, [chose("first", "a").line])
    before = (tmp_path / file_name(DAY)).read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.append(DAY, [chose("second", "a").line])
    assert (tmp_path / file_name(DAY)).read_bytes() == before
    with pytest.raises(NoSpaceError):
        FeedbackFiles(tmp_path, len(before)).append(DAY, [b"x"])


def test_two_gateways_may_write_to_one_folder(tmp_path: Path) -> None:
    def write(name: str) -> None:
        files = FeedbackFiles(tmp_path, 10_000_000)
        for number in range(50):
            files.append(DAY, [chose(f"{name} {number}", "a").line])

    threads = [threading.Thread(target=write, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(queries(tmp_path)) == sorted(f"{name} {n}" for name in ("one", "two") for n in range(50))


def test_a_folder_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="feedback cannot be written"):
        FeedbackLog(FeedbackOptions(tmp_path / "file"), Registry().metrics)


def test_personal_data_is_masked_before_it_is_written(tmp_path: Path) -> None:
    pytest.importorskip("presidio_analyzer", reason="the extra privacy is not installed")
    mask = MaskSettings(models={"en": None}, entities=["EMAIL_ADDRESS", "IBAN_CODE"])
    with running(FeedbackOptions(tmp_path, mask=mask)) as (log, _):
        log.add(chose("mails of ada@byron.org and bob@byron.org to ADA@byron.org", "a"), 100)
        log.add(chose("where is the pump?", "a"), 100)
    assert queries(tmp_path) == [
        "mails of [EMAIL_ADDRESS_1] and [EMAIL_ADDRESS_2] to [EMAIL_ADDRESS_1]",
        "where is the pump?",
    ]


def test_a_query_that_cannot_be_masked_is_dropped_and_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Masker, texts: list[str]) -> list[str | None]:
        return [None if "ada" in text else text for text in texts]

    monkeypatch.setattr(Masker, "__init__", lambda self, settings: None)
    monkeypatch.setattr(Masker, "close", lambda self: None)
    monkeypatch.setattr(Masker, "mask", fails)
    options = FeedbackOptions(tmp_path, mask=MaskSettings(models={"en": None}, entities=["EMAIL_ADDRESS"]))
    with running(options) as (log, registry):
        log.add(chose("ada", "a"), 100)
        log.add(chose("pump", "a"), 100)
    assert queries(tmp_path) == ["pump"]
    assert registry["dropped unmasked"] == 1


@pytest.mark.usefixtures("fast")
def test_a_masking_process_that_always_ends_does_not_hold_up_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Masker, "__init__", lambda self, settings: None)
    monkeypatch.setattr(Masker, "close", lambda self: None)
    monkeypatch.setattr(Masker, "mask", lambda self, texts: None if "bomb" in texts else list(texts))
    options = FeedbackOptions(tmp_path, mask=MaskSettings(models={"en": None}, entities=["EMAIL_ADDRESS"]))
    with running(options) as (log, registry):
        log.add(chose("bomb", "a"), 100)
        wait_until(lambda: registry["dropped unmasked"] == 1)
        log.add(chose("pump", "a"), 100)
        wait_until(lambda: registry["written"] == 1)
    assert queries(tmp_path) == ["pump"]


def test_a_kind_of_personal_data_that_does_not_exist_is_said_at_the_start() -> None:
    pytest.importorskip("presidio_analyzer", reason="the extra privacy is not installed")
    # Not in a process of its own: other tests have loaded Presidio here already.
    problem = masking.prepare(MaskSettings(models={"en": None}, entities=["SHOE_SIZE"]).model_dump_json())
    assert problem.startswith("--feedback-mask.entities has kinds of personal data that Presidio does not know")


@needs_server
def test_feedback_reaches_a_bucket_and_is_deleted_there_after_its_days(tmp_path: Path) -> None:
    with a_bucket() as bucket:
        old = today() - timedelta(days=91)
        bucket.put(f"asked/{file_name(old)}", chose("old", "a").line)
        store = S3Objects(f"s3://{bucket.name}/asked", STORAGE, SECRETS)
        with running(FeedbackOptions(tmp_path, store)) as (log, registry):
            log.add(chose("new", "a"), 100)
            wait_until(lambda: f"asked/{file_name(old)}" not in bucket.names())
        (name,) = bucket.names()
        assert name.startswith(f"asked/feedback-{today().isoformat()}-")
        assert registry["written"] == 1
        data = bucket.client.get_object(bucket.name, name).read()
    assert Feedback.model_validate_json(data).query == "new"


def test_no_other_user_reads_feedback_and_links_are_not_followed(tmp_path: Path) -> None:
    files = FeedbackFiles(tmp_path / "feedback", 1000)
    files.append(DAY, [b"{}\n"])
    assert {path.stat().st_mode & 0o777 for path in files.folder.iterdir()} == {0o600}
    (tmp_path / "other").write_text("kept")
    for name in (file_name(DAY), ".lock"):
        (files.folder / name).unlink()
        (files.folder / name).symlink_to(tmp_path / "other")
        with pytest.raises(OSError, match="symbolic links"):
            files.append(DAY, [b"{}\n"])
    assert (tmp_path / "other").read_text() == "kept"
