"""What a store's client must keep to itself."""

import logging
import socket
import time

import pytest

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import InputError
from embedtune.core.secrets import Secrets
from embedtune.serve.store.objects import ABSENT, Objects
from tests.support.object_store import SECRETS, STORAGE, a_bucket, needs_server

TALKS = "urllib3.connectionpool"  # named, since other tests' libraries set levels of their own for it
SIGNED = ("X-Amz", "Signature", "Credential")


def test_a_store_that_does_not_answer_is_named_and_no_signature_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, logger=TALKS)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between the attempts
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
        # With its region, so that it is not asked for that first.
        storage = StorageSettings(endpoint=endpoint, secure=False, region="us-east-1")
        objects = Objects("s3://bucket/prefix", storage, Secrets(s3_access_key="somebody", s3_secret_key="secret"))
        with pytest.raises(InputError, match=endpoint) as raised:
            objects.write("lock.json", {}, ABSENT)
    told = [caplog.text, str(raised.value), repr(raised.value.__cause__)]
    assert "Retrying" in told[0]
    assert not [(word, text) for word in SIGNED for text in told if word in text]


@needs_server
def test_a_store_that_answers_tells_no_signature_either(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger=TALKS)
    with a_bucket() as bucket:
        Objects(f"s3://{bucket.name}/prefix", STORAGE, SECRETS).write("lock.json", {})
    assert "lock.json" in caplog.text
    assert not [word for word in SIGNED if word in caplog.text]
