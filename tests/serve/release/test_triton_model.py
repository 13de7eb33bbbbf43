"""The endpoint model: what it refuses, how it groups texts, and that grouping and merging change no vector."""

import fcntl
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.serve.release.triton_model import (
    Answer,
    Endpoint,
    InvalidError,
    Limits,
    Request,
    end_of,
    groups_of_similar_length,
    load_tokenizers,
    padded,
    read_request,
)
from embedtune.serve.release.triton_runners import onnx_runner, usable_cpus
from tests.support.tiny_model import wordpiece_tokenizer

LIMITS = Limits({"query": "query: ", "passage": "passage: "}, (8, 4), max_length=12, max_text_bytes=100, cut="END")


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = wordpiece_tokenizer(12).backend_tokenizer
    tokenizer.enable_truncation(12)
    tokenizer.enable_padding(pad_id=7)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def refusal(
    texts: Sequence[bytes], types: Sequence[bytes] = (), sizes: Sequence[int] = (), cuts: Sequence[bytes] = ()
) -> str:
    with pytest.raises(InvalidError) as error:
        read_request(LIMITS, texts, types, sizes, cuts)
    return str(error.value)


def test_prefixes_come_from_the_contract_and_dimensions_are_full() -> None:
    request = read_request(LIMITS, [b"press", "Öl".encode()], [b"query", b"passage"])
    assert request == Request(["query: press", "passage: Öl"], [8, 8], ["END", "END"], [7, 9])


def test_without_input_type_all_are_passages() -> None:
    assert read_request(LIMITS, [b"press"], (), [4]) == Request(["passage: press"], [4], ["END"], [9])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "TEXT[1] is empty"),
        (b"a\0", "TEXT[1] contains a null byte"),
        (b"\xc3", "TEXT[1] is not valid UTF-8 (byte 0: unexpected end of data)"),
        (b"\xed\xb0\x80", "TEXT[1] is not valid UTF-8 (byte 0: invalid continuation byte)"),
        (b"x" * 101, "TEXT[1] has 101 bytes; the limit is 100"),
    ],
)
def test_an_invalid_text_is_named(text: bytes, words: str) -> None:
    assert refusal([b"fine", text]) == words


def test_a_text_at_the_limit_is_accepted() -> None:
    assert read_request(LIMITS, [b"x" * 100]).texts == ["passage: " + "x" * 100]


def test_other_types_and_sizes_are_refused() -> None:
    assert refusal([b"a", b"b"], [b"query", b"Query"]) == "INPUT_TYPE[1] is 'Query'; expected query or passage"
    assert refusal([b"a"], [b"\xff" * 99]).startswith("INPUT_TYPE[0] is '")
    assert refusal([b"a", b"b"], None, [8, 5]) == "DIMENSIONS[1] is 5; this model offers 8, 4"
    assert refusal([b"a"], None, [-1]) == "DIMENSIONS[0] is -1; this model offers 8, 4"


@pytest.mark.parametrize(
    ("lengths", "call_cost", "groups"),
    [
        ([5, 5, 5], 0, [[0, 1, 2]]),
        ([9, 3, 9, 3], 0, [[1, 3], [0, 2]]),
        ([10, 12, 14], 4, [[0, 1, 2]]),  # 2 tokens for one text, then 2 for each of two
        ([10, 12, 15], 4, [[0, 1], [2]]),  # 3 for each of two cost more than a call
        ([400, 16], 32, [[1], [0]]),
        ([400, 16], 400, [[1, 0]]),
        ([], 32, []),
    ],
)
def test_a_text_joins_a_group_while_padding_costs_less_than_a_call(
    lengths: list[int], call_cost: int, groups: list[list[int]]
) -> None:
    assert groups_of_similar_length(lengths, call_cost) == groups


@given(st.lists(st.integers(1, 512), max_size=80), st.integers(0, 500))
def test_groups_contain_every_text_once_and_waste_less_than_a_call(lengths: list[int], call_cost: int) -> None:
    groups = groups_of_similar_length(lengths, call_cost)
    assert sorted(place for group in groups for place in group) == list(range(len(lengths)))
    for group in groups:
        members = [lengths[place] for place in group]
        assert members == sorted(members)
        assert all((b - a) * (n + 1) <= call_cost for n, (a, b) in enumerate(pairwise(members)))


def test_rows_are_padded_with_the_tokenizers_own_id(tokenizer_file: Path) -> None:
    tokenizers, pad_id = load_tokenizers(tokenizer_file)
    assert pad_id == 7
    long, short = tokenizers["END"].encode_batch_fast(["press the valve", "press"])
    ids, mask = padded([long.ids, short.ids], pad_id)
    assert ids.tolist() == [long.ids, [*short.ids, 7, 7]]
    assert mask.tolist() == [[1] * 5, [1, 1, 1, 0, 0]]


def test_a_tokenizer_truncates_as_its_file_says_or_not_at_all(tokenizer_file: Path) -> None:
    tokenizers, _ = load_tokenizers(tokenizer_file)
    lengths = {cut: len(tokenizer.encode("press " * 50).ids) for cut, tokenizer in tokenizers.items()}
    assert lengths == {"END": 12, "NONE": 52}


class CountingEncoder:
    """Returns the sum of a row's ids in the first column, and records the shapes of its inputs."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []

    def __call__(self, ids: np.ndarray, mask: np.ndarray, dimensions: np.ndarray) -> np.ndarray:
        self.shapes.append(ids.shape)
        vectors = np.zeros((len(ids), 8), dtype=np.float32)
        vectors[:, 0] = (ids * mask).sum(axis=1)
        vectors[:, 1] = dimensions
        return vectors


def endpoint(file: Path, *, call_cost: int = 0) -> tuple[Endpoint, CountingEncoder]:
    encoder = CountingEncoder()
    return Endpoint(LIMITS, *load_tokenizers(file), call_cost, encoder), encoder


def request(texts: list[str], dimensions: list[int], cut: str = "END") -> Request:
    return Request(texts, dimensions, [cut] * len(texts), [0] * len(texts))


def test_requests_are_encoded_together_by_length_and_each_gets_its_own_rows(tokenizer_file: Path) -> None:
    model, encoder = endpoint(tokenizer_file)
    requests = [request(["press", "press the valve"], [8, 4]), request(["kiln"], [4])]
    first, second = model.answer(requests)
    assert encoder.shapes == [(2, 3), (1, 5)]
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    sums = [sum(model.tokenizers["END"].encode(text).ids) for text in ("press", "press the valve", "kiln")]
    assert first.vectors[:, :2].tolist() == [[sums[0], 8], [sums[1], 4]]
    assert second.vectors[:, :2].tolist() == [[sums[2], 4]]
    assert (first.vectors.shape, second.vectors.shape) == ((2, 8), (1, 4))
    assert (first.tokens, second.tokens) == ([3, 5], [3])


def test_a_refused_request_is_not_encoded_and_the_others_are(tokenizer_file: Path) -> None:
    model, encoder = endpoint(tokenizer_file)
    long = request(["press", "press " * 20], [8, 8], "NONE")
    refused, answered = model.answer([long, request(["press"], [8], "NONE")])
    assert str(refused) == "TEXT[1] has 22 tokens with its prefix; the limit is 12"
    assert isinstance(answered, Answer)
    assert encoder.shapes == [(1, 3)]


def test_a_text_without_a_token_is_refused(tokenizer_file: Path) -> None:
    model, encoder = endpoint(tokenizer_file)
    bare = model.tokenizers["END"]
    bare.post_processor = None
    (refused,) = model.answer([request([" "], [8])])
    assert str(refused) == "TEXT[0] has no token"
    assert encoder.shapes == []


def test_without_requests_nothing_is_encoded(tokenizer_file: Path) -> None:
    model, encoder = endpoint(tokenizer_file)
    assert model.answer([]) == []
    assert encoder.shapes == []


def test_copies_in_one_place_do_not_compute_at_the_same_time(engine: Path) -> None:
    ids, sizes = np.ones((1, 3), np.int64), np.array([32], np.int64)
    sharing, alone = (onnx_runner(engine / "model.onnx", 1, place) for place in (0, 1))
    # With the id of this process's parent, which stands in for the server.
    turn = Path(tempfile.gettempdir(), f"embedtune-turn-{os.getppid()}-0")
    with ThreadPoolExecutor(2) as pool, turn.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # another copy is computing
        waiting = pool.submit(sharing, ids, ids, sizes)
        assert pool.submit(alone, ids, ids, sizes).result(60).shape == (1, 32)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        fcntl.flock(other, fcntl.LOCK_UN)
        assert waiting.result(60).shape == (1, 32)


def test_each_text_of_a_batch_is_cut_or_refused_as_its_request_says(tokenizer_file: Path) -> None:
    model, encoder = endpoint(tokenizer_file)
    long = "press " * 20
    whole, cut, mixed = model.answer(
        [
            request([long], [8], "NONE"),
            request([long], [8]),
            Request(["kiln", long], [8, 8], ["NONE", "END"], [0, 0]),
        ]
    )
    assert str(whole) == "TEXT[0] has 22 tokens with its prefix; the limit is 12"
    assert isinstance(cut, Answer)
    assert isinstance(mixed, Answer)
    assert (cut.tokens, mixed.tokens) == ([12], [3, 12])
    assert cut.vectors[0].tolist() == mixed.vectors[1].tolist()
    assert encoder.shapes == [(1, 3), (2, 12)]


def test_without_truncate_the_release_decides() -> None:
    kept = replace(LIMITS, cut="NONE")
    assert read_request(kept, [b"press"]).cuts == ["NONE"]
    assert read_request(kept, [b"press"], cuts=[b"END"]).cuts == ["END"]
    assert read_request(kept, [b"press"], cuts=[b"START"]).cuts == ["START"]
    wrong = "TRUNCATE[1] is 'MIDDLE'; expected NONE or END or START"
    assert refusal([b"press", b"kiln"], cuts=[b"END", b"MIDDLE"]) == wrong


def test_start_cuts_the_beginning_of_a_text_and_keeps_its_prefix(tokenizer_file: Path) -> None:
    model, _ = endpoint(tokenizer_file)
    tokenizers, _ = load_tokenizers(tokenizer_file)
    whole = tokenizers["NONE"].encode("query: " + "kiln " * 5 + "press the valve " * 2)
    # [CLS] q ##u ##er ##y : kiln (5 times) press the valve (twice) [SEP]
    assert len(whole.ids) == 18
    cut = end_of(whole, len("query: "), 12)
    assert cut == [*whole.ids[:6], *whole.ids[12:]]
    assert end_of(whole, len("query: "), 18) == whole.ids
    assert end_of(whole, 0, 12) == [whole.ids[0], *whole.ids[7:]]  # without a prefix only [CLS] stays
    long = b"kiln " * 5 + b"press the valve " * 2
    read = read_request(LIMITS, [long, long], [b"query", b"query"], (), [b"START", b"END"])
    (answer,) = model.answer([read])
    assert isinstance(answer, Answer)
    assert answer.tokens == [12, 12]
    assert answer.vectors[:, 0].tolist() == [sum(cut), sum([*whole.ids[:11], whole.ids[-1]])]


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000", 8),  # no limit: those that the process may run on
        ("300000 100000", 3),  # limits.cpu: 3
        ("150000 100000", 2),
        ("50000 100000", 1),  # half a processor still needs one thread
        ("1600000 100000", 8),  # more than there are
        (None, 8),  # no control group of the second version
    ],
)
def test_threads_are_as_many_as_the_control_group_allows(
    quota: str | None, cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(f"{quota}\n")
    assert usable_cpus(file) == cpus
