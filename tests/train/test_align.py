"""Keeping the base's vector space: a rotation that changes no score and makes old and new vectors comparable."""

import numpy as np
import pytest

from embedtune.core.config.load import parse_config
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.errors import ConfigError
from embedtune.core.progress import SilentProgress
from embedtune.train.align import rotation
from tests.support.tiny_model import tiny_contract
from tests.support.training_world import make_world, tiny_config, train

RANDOM = np.random.default_rng(3)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_vectors_that_were_turned_are_turned_back() -> None:
    base = unit(RANDOM.normal(size=(500, 8)))
    turn, _ = np.linalg.qr(RANDOM.normal(size=(8, 8)))
    np.testing.assert_allclose((base @ turn) @ rotation(base @ turn, base), base, atol=1e-3)


def test_a_rotation_changes_no_score() -> None:
    tuned, base = unit(RANDOM.normal(size=(50, 8))), unit(RANDOM.normal(size=(50, 8)))
    turned = tuned @ rotation(tuned, base)
    np.testing.assert_allclose(turned @ turned.T, tuned @ tuned.T, atol=1e-5)


def test_directions_without_passages_stay() -> None:
    base = np.zeros((20, 4), dtype=np.float32)
    base[:, :2] = unit(RANDOM.normal(size=(20, 2)))  # nothing is known about the last two
    quarter = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=np.float32)
    np.testing.assert_allclose(rotation(base @ quarter, base), quarter.T, atol=1e-3)


def test_an_aligned_model_scores_the_same_and_is_close_to_its_base(tmp_path) -> None:
    world = make_world(tmp_path)
    config = tiny_config(world, loss="in_batch", epochs=4, learning_rate=5e-3)
    train(world, tmp_path / "plain", config)
    turned = config.model_copy(update={"train": config.train.model_copy(update={"align": True})})
    train(world, tmp_path / "aligned", turned)
    texts = [f"the brine pump {number} stops" for number in range(20)]

    def vectors(path) -> np.ndarray:
        return TorchEncoder(path, config.contract, config.runtime).encode_passages(texts, SilentProgress())

    plain, aligned = vectors(tmp_path / "plain"), vectors(tmp_path / "aligned")
    np.testing.assert_allclose(aligned @ aligned.T, plain @ plain.T, atol=1e-4)
    base = vectors(world.base)
    assert (aligned * base).sum() > (plain * base).sum()


def test_vectors_that_are_cut_cannot_be_turned(tmp_path) -> None:
    contract = tiny_contract(tmp_path, (32, 16)).model_dump()
    with pytest.raises(ConfigError, match="single size"):
        parse_config({"contract": contract, "train": {"align": True}})
