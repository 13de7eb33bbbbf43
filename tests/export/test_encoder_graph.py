"""Pooling, truncation and normalisation, as the graph computes them."""

import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Pooling

from embedtune.export.encoder import encoder_graph, pooled, truncated, unit

MASKS = {
    "padding on the right": [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]],
    "padding on the left": [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]],
}


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
@pytest.mark.parametrize("side", MASKS)
def test_pooling_equals_that_of_sentence_transformers(pooling, side):
    hidden = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor(MASKS[side])
    theirs = Pooling(8, pooling_mode=pooling)({"token_embeddings": hidden, "attention_mask": mask})
    torch.testing.assert_close(pooled(hidden, mask, pooling), theirs["sentence_embedding"])


def test_each_row_is_truncated_to_its_own_dimension_and_then_has_unit_length():
    vectors = torch.tensor([[3.0, 4.0, 12.0], [3.0, 4.0, 12.0], [3.0, 4.0, 12.0]])
    got = unit(truncated(vectors, torch.tensor([3, 2, 1])))
    expected = torch.tensor([[3 / 13, 4 / 13, 12 / 13], [0.6, 0.8, 0.0], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(got, expected)


def test_a_row_of_zeros_stays_finite():
    assert unit(torch.zeros(1, 4)).tolist() == [[0.0] * 4]


def test_the_graph_returns_the_vectors_of_the_loaded_model(loaded, bert):
    texts = ["check the valve", "stop"]
    expected = torch.from_numpy(loaded.encode(texts))
    features = loaded.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        got = encoder_graph(loaded, "mean")(
            features["input_ids"], features["attention_mask"], torch.tensor([32, 32])
        )
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)
