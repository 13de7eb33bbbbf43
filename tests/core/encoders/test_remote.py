"""Live services as encoders, against real servers on free ports."""

import socket
from contextlib import contextmanager

import grpc
import numpy as np
import pytest

from embedtune.core.contract import EncoderContract
from embedtune.core.encoders import remote as remote_encoders
from embedtune.core.encoders.remote import EndpointEncoder, TritonEncoder, open_endpoint
from embedtune.core.errors import ConfigError, EndpointError
from embedtune.core.progress import SilentProgress
from tests.support.remote_services import DIMENSION, Traffic, fake_gateway, fake_triton, vector_of

CONTRACT = EncoderContract(base_model="tiny", query_prefix="query: ", dimensions=(DIMENSION, 4))
TEXTS = [f"text {number}" for number in range(100)]


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(remote_encoders, "FIRST_WAIT_S", 0.01)


@contextmanager
def triton(record):
    with fake_triton(record) as address:
        yield open_endpoint(f"grpc://{address}", CONTRACT, "embedtune", None)


@contextmanager
def gateway(record):
    with fake_gateway(record) as url:
        yield open_endpoint(url, CONTRACT, "embedtune", "secret")


both = pytest.mark.parametrize("service", [triton, gateway])
BUSY = {
    triton: (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"),
    gateway: (429, {"error": {"message": "the queue is full"}}),
}
WRONG = {
    triton: (grpc.StatusCode.INVALID_ARGUMENT, "INVALID: TEXT[0] is empty"),
    gateway: (400, {"error": {"message": "INVALID: TEXT[0] is empty"}}),
}


def test_an_address_says_what_is_behind_it():
    assert isinstance(open_endpoint("grpc://localhost:8001", CONTRACT, "embedtune", None), TritonEncoder)
    assert isinstance(open_endpoint("https://localhost/v1", CONTRACT, "embedtune", None), EndpointEncoder)


@pytest.mark.parametrize("url", ["localhost:8001", "grpc://", "ftp://localhost"])
def test_other_addresses_are_refused(url):
    with pytest.raises(ConfigError, match="grpc://host:port"):
        open_endpoint(url, CONTRACT, "embedtune", None)


@both
def test_each_text_gets_its_own_vector_in_the_callers_order(service):
    with service(record := Traffic()) as encoder:
        vectors = encoder.encode_passages(TEXTS, SilentProgress())
    assert vectors.dtype == np.float32 and vectors.shape == (100, DIMENSION)
    np.testing.assert_array_equal(vectors, [vector_of(text, "passage") for text in TEXTS])
    assert sorted(len(texts) for _, texts in record.batches) == [4, 32, 32, 32]


@both
def test_the_server_is_told_the_input_type_and_gets_no_prefix(service):
    with service(record := Traffic()) as encoder:
        queries = encoder.encode_queries(["pump"], SilentProgress())
        passages = encoder.encode_passages(["pump"], SilentProgress())
    assert record.batches == [("query", ["pump"]), ("passage", ["pump"])]
    assert not np.allclose(queries, passages)


@both
def test_no_text_asks_nothing(service):
    with service(record := Traffic()) as encoder:
        assert encoder.encode_queries([], SilentProgress()).shape == (0, DIMENSION)
    assert record.batches == []


@both
def test_a_busy_server_is_asked_again(service):
    with service(record := Traffic(faults=[BUSY[service]] * 3)) as encoder:
        vectors = encoder.encode_queries(["pump"], SilentProgress())
    np.testing.assert_array_equal(vectors, [vector_of("pump", "query")])
    assert record.faults == []


@both
def test_a_refusal_is_told_at_once_in_the_servers_words(service):
    words = r"(?s)refused a request.*INVALID: TEXT\[0\] is empty"
    record = Traffic(faults=[WRONG[service]] * 2)
    with service(record) as encoder, pytest.raises(EndpointError, match=words):
        encoder.encode_queries(["pump"], SilentProgress())
    assert len(record.faults) == 1


def test_triton_is_given_up_when_it_stays_busy(monkeypatch):
    monkeypatch.setattr(remote_encoders, "RETRIES", 2)
    record = Traffic(faults=[BUSY[triton]] * 9)
    with triton(record) as encoder, pytest.raises(EndpointError, match=r"(?s)does not answer.*maximum queue size"):
        encoder.encode_queries(["pump"], SilentProgress())
    assert len(record.faults) == 9 - 3


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_nobody_behind_the_address(monkeypatch, scheme):
    monkeypatch.setattr(remote_encoders, "RETRIES", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        encoder = open_endpoint(f"{scheme}://127.0.0.1:{taken.getsockname()[1]}", CONTRACT, "embedtune", None)
        with pytest.raises(EndpointError, match="does not answer"):
            encoder.encode_queries(["pump"], SilentProgress())


@both
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda v: v[:, :4] / np.linalg.norm(v[:, :4], axis=1, keepdims=True), r"the wrong size(?s:.*)\(1, 4\)"),
        (lambda v: v * 2, r"not unit length(?s:.*)2\.0000"),
        (lambda v: v * np.nan, "not unit length"),
    ],
    ids=["size", "length", "nan"],
)
def test_vectors_that_cannot_be_right_are_refused(service, change, complaint):
    with service(Traffic(change=change)) as encoder, pytest.raises(EndpointError, match=complaint):
        encoder.encode_queries(["pump"], SilentProgress())


@both
def test_half_a_character_never_leaves_this_machine(service):
    with (
        service(record := Traffic()) as encoder,
        pytest.raises(EndpointError, match=r"(?s)lone surrogate.*\\ud800"),
    ):
        encoder.encode_passages(["pump \ud800"], SilentProgress())
    assert record.batches == []


@both
def test_the_fingerprint_follows_what_is_served(service):
    record = Traffic()
    with service(record) as encoder:
        first = encoder.fingerprint
    with service(record) as same:
        assert same.fingerprint == first
    record.change = lambda vectors: vectors[:, ::-1]
    with service(record) as other:
        assert other.fingerprint != first


def test_a_server_with_smaller_batches_gets_smaller_requests():
    record = Traffic()
    with fake_triton(record, max_batch_size=10) as address:
        TritonEncoder(address, CONTRACT, "embedtune").encode_passages(TEXTS[:25], SilentProgress())
    assert sorted(len(texts) for _, texts in record.batches) == [5, 10, 10]


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_the_gateway_is_found_with_and_without_v1_and_gets_the_key(suffix):
    record = Traffic()
    with fake_gateway(record) as url:
        encoder = EndpointEncoder(url + suffix, CONTRACT, "embedtune", "secret")
        encoder.encode_queries(["pump"], SilentProgress())
    assert record.keys == ["Bearer secret"]


@pytest.mark.parametrize(
    "reply",
    [b"<html>", {"object": "list", "data": []}, {"data": [{"index": 7, "embedding": [1.0] + [0.0] * 7}]}],
    ids=["no JSON", "no vector", "another text"],
)
def test_what_is_no_answer_is_refused(reply):
    record = Traffic(faults=[(200, reply)])
    with gateway(record) as encoder, pytest.raises(EndpointError, match="refused a request"):
        encoder.encode_queries(["pump"], SilentProgress())
