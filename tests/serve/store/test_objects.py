"""The client of a store: no error or log message contains a signature, and one that hangs is given up."""

import logging
import socket
import time

import pytest

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ArtifactError, InputError, StoreAwayError
from embedtune.core.secrets import Secrets
from embedtune.core.storage_client import Patience
from embedtune.serve.replica.serving import SILENT_S
from embedtune.serve.store import objects as module
from embedtune.serve.store.objects import ABSENT, HURRIED, S3Objects
from embedtune.serve.store.records import LeaseRecord
from embedtune.serve.store.replicas import BEAT_S
from tests.support.object_store import SECRETS, STORAGE, a_bucket, needs_server

LEASE = LeaseRecord(holder="host", token="t", renewals=0)
TALKS = "urllib3.connectionpool"  # named, since libraries in other tests set its level
SIGNED = ("X-Amz", "Signature", "Credential")


def test_a_store_that_does_not_answer_is_named_without_a_signature(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, logger=TALKS)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between the attempts
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # without listening
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
        # With a region, so that the client does not ask the server for it first.
        storage = StorageSettings(endpoint=endpoint, secure=False, region="us-east-1")
        objects = S3Objects(
            "s3://bucket/prefix", storage, Secrets(s3_access_key="somebody", s3_secret_key="secret")
        )
        with pytest.raises(InputError, match=endpoint) as raised:
            objects.write("lock.json", LEASE, ABSENT)
    said = [caplog.text, str(raised.value), repr(raised.value.__cause__)]
    assert "Retrying" in said[0]
    assert not [(word, text) for word in SIGNED for text in said if word in text]


def test_a_store_that_hangs_is_given_up_before_gateways_think_that_the_replica_has_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Between two signs of life: the pointer is read, this replica's record written, and a pause made.
    longest = 2 * HURRIED.timeout_s * (1 + HURRIED.retries) + BEAT_S
    assert longest < SILENT_S
    monkeypatch.setattr(module, "HURRIED", Patience(timeout_s=0.05, retries=1))
    with socket.create_server(("127.0.0.1", 0)) as hangs:  # connects, and never answers
        endpoint = f"127.0.0.1:{hangs.getsockname()[1]}"
        storage = StorageSettings(endpoint=endpoint, secure=False)
        objects = S3Objects("s3://bucket/prefix", storage, Secrets()).hurried()
        with pytest.raises(StoreAwayError):
            objects.read("pointer.json")


@needs_server
def test_a_store_that_answers_leaves_no_signature_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger=TALKS)
    with a_bucket() as bucket:
        S3Objects(f"s3://{bucket.name}/prefix", STORAGE, SECRETS).write("lock.json", LEASE)
    assert "lock.json" in caplog.text
    assert not [word for word in SIGNED if word in caplog.text]


@needs_server
def test_a_small_object_that_is_large_is_refused_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedtune.serve.store.objects.MAX_SMALL", 100)
    with a_bucket() as bucket:
        objects = S3Objects(f"s3://{bucket.name}/team", STORAGE, SECRETS)
        bucket.put("team/a.json", b"x" * 100)
        bucket.put("team/b.json", b"x" * 101)
        found = objects.read("a.json")
        assert found is not None
        assert len(found.text) == 100
        with pytest.raises(ArtifactError, match=r"b\.json is damaged: it is too large"):
            objects.read("b.json")
