"""Each architecture in its public form: its own files are accepted, and its vectors are those of the library."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from embedtune.core.config.base import BaseSettings
from embedtune.core.config.machine import RuntimeSettings, StorageSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.pytorch import TorchEncoder, load_model
from embedtune.core.errors import ContractError
from embedtune.core.secrets import Secrets
from tests.support.architectures import ARCHITECTURES, GEMMA_WINDOW

CPU = RuntimeSettings(device="cpu")
TEXTS = ["the kiln", "pressure limit of the press", "what is alarm code 7 of the drum when the belt is wet"]


def make(tmp_path, name):
    kind = ARCHITECTURES[name]
    base = kind.base(tmp_path / "base")
    return base, kind.own_contract(base)


def resolve(base, contract, force=()):
    return resolve_base(contract, BaseSettings(force=force), base.parent / "cache", StorageSettings(), Secrets())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_vectors_are_those_of_the_library_whatever_they_are_padded_with(tmp_path, progress, name):
    base, contract = make(tmp_path, name)
    found = resolve(base, contract)
    encoder = TorchEncoder(found, contract, CPU)
    together = encoder.encode_queries(TEXTS, progress)
    alone = np.concatenate([encoder.encode_queries([text], progress) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    library = SentenceTransformer(str(found), device="cpu")  # it does not know NVIDIA's types
    prompted = [contract.query_prefix + text for text in TEXTS]  # some files do not say the prefix
    np.testing.assert_allclose(together, library.encode(prompted, normalize_embeddings=True), atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_model_made_for_its_last_token_is_refused_under_another_pooling(tmp_path, pooling):
    base, contract = make(tmp_path, "qwen3")
    wrong = contract.model_copy(update={"pooling": pooling})
    with pytest.raises(ContractError, match="differs from the base model's own files"):
        resolve(base, wrong)
    # Nor is a forced difference enough: the tokens that are averaged do not see the text.
    with pytest.raises(ContractError, match="is causal") as refusal:
        load_model(resolve(base, wrong, force=("pooling",)), wrong, CPU)
    assert ("base.force" in str(refusal.value.fix)) is (pooling == "mean")


def test_the_mean_of_a_causal_model_can_be_forced_and_the_saved_model_says_so(tmp_path):
    base, contract = make(tmp_path, "qwen3")
    mean = contract.model_copy(update={"pooling": "mean"})
    model = load_model(resolve(base, mean, force=("pooling", "attention")), mean, CPU)
    model.save_pretrained(str(tmp_path / "saved"))
    again = load_model(tmp_path / "saved", mean, CPU)
    np.testing.assert_allclose(again.encode(TEXTS), model.encode(TEXTS), atol=1e-6)


def test_gemmas_window_survives_saving(tmp_path):
    """transformers halves the window of a bidirectional model on loading, so saving has to double it."""
    base, contract = make(tmp_path, "embeddinggemma")
    model = load_model(base, contract, CPU)
    assert model[0].model.config.sliding_window == GEMMA_WINDOW // 2 + 1
    model.save_pretrained(str(tmp_path / "saved"))
    assert load_model(tmp_path / "saved", contract, CPU)[0].model.config.sliding_window == GEMMA_WINDOW // 2 + 1


def test_positions_that_are_kept_for_padding_do_not_count(tmp_path):
    base, contract = make(tmp_path, "multilingual-e5")
    with pytest.raises(ContractError, match="at most 256 tokens"):
        load_model(base, contract.model_copy(update={"max_length": 257}), CPU)
