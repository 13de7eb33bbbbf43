"""The losses against values computed by hand, and gradient caching against the plain gradient."""

import math

import pytest
import torch
from torch import nn

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.pytorch import load_model
from embedtune.train import embed as embed_module
from embedtune.train.collate import MASKED, NEGATIVE, POSITIVE
from embedtune.train.embed import embed_cached
from embedtune.train.loss_in_batch import InBatchLoss
from embedtune.train.loss_own_negatives import OwnNegativesLoss
from embedtune.train.loss_scores import row_losses, soft_losses
from tests.support.tiny_model import make_tiny_llama, make_tiny_model, tiny_contract

QUERIES = torch.tensor([[1.0, 0.0], [0.0, 2.0]])  # lengths do not matter
PASSAGES = torch.tensor([[3.0, 0.0], [0.6, 0.8]])
ALL = torch.tensor([[POSITIVE, NEGATIVE], [NEGATIVE, POSITIVE]], dtype=torch.int8)
TEXTS = [
    "the kiln",
    "a seal of the brine pump stops",
    "hoist",
    "check the oil pressure of the press, then the belt",
    "alarm code 7",
]


class Vectors(nn.Module):
    """Stands in for a model; its features already are the vectors."""

    def forward(self, features):
        return {"sentence_embedding": features["vectors"]}


def labels(roles, weights=None, **soft):
    weights = torch.ones(len(roles)) if weights is None else torch.tensor(weights)
    return {"roles": roles, "weights": weights, **soft}


def features(vectors):
    return {"vectors": vectors, "attention_mask": torch.ones(len(vectors), 2, dtype=torch.int64)}


def test_cosines_over_temperature():
    """Cosines 1 and 0.6, then 0 and 0.8, divided by 0.5."""
    losses = row_losses(QUERIES, PASSAGES, ALL, temperature=0.5, dimensions=(2,))
    assert losses.tolist() == pytest.approx([math.log(1 + math.exp(-0.8)), math.log(1 + math.exp(-1.6))])


def test_a_masked_passage_does_not_count():
    roles = torch.tensor([[POSITIVE, MASKED], [NEGATIVE, POSITIVE]], dtype=torch.int8)
    losses = row_losses(QUERIES, PASSAGES, roles, temperature=0.5, dimensions=(2,))
    assert losses.tolist() == pytest.approx([0.0, math.log(1 + math.exp(-1.6))])


def test_matryoshka_is_the_mean_over_the_sizes():
    """With one number left, both passages have the same direction, and the second query has none: ln 2."""
    losses = row_losses(QUERIES, PASSAGES, ALL, temperature=0.5, dimensions=(2, 1))
    full = [math.log(1 + math.exp(-0.8)), math.log(1 + math.exp(-1.6))]
    assert losses.tolist() == pytest.approx([(loss + math.log(2)) / 2 for loss in full])


def test_scores_are_exact_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = row_losses(QUERIES.bfloat16(), PASSAGES.bfloat16(), ALL, temperature=0.5, dimensions=(2,))
    assert losses.dtype == torch.float32


def test_in_batch_loss_is_the_mean_of_the_rows():
    loss = InBatchLoss(Vectors(), 0.5, (2,), piece=1)([features(QUERIES), features(PASSAGES)], labels(ALL))
    assert loss.item() == pytest.approx((math.log(1 + math.exp(-0.8)) + math.log(1 + math.exp(-1.6))) / 2)


def test_in_batch_each_row_counts_by_its_weight():
    loss = InBatchLoss(Vectors(), 0.5, (2,), piece=1)
    value = loss([features(QUERIES), features(PASSAGES)], labels(ALL, [1.5, 0.5]))
    rows = math.log(1 + math.exp(-0.8)), math.log(1 + math.exp(-1.6))
    assert value.item() == pytest.approx((1.5 * rows[0] + 0.5 * rows[1]) / 2)


def test_weights_of_one_change_neither_loss_nor_gradient_by_a_bit():
    queries, plain = (QUERIES.clone().requires_grad_() for _ in range(2))
    loss = InBatchLoss(Vectors(), 0.05, (2,), piece=9)([features(queries), features(PASSAGES)], labels(ALL))
    mean = row_losses(plain, PASSAGES, ALL, 0.05, (2,)).mean()
    loss.backward()
    mean.backward()
    assert torch.equal(loss, mean)
    assert torch.equal(queries.grad, plain.grad)


@pytest.mark.parametrize("cut", [1, 2])
def test_unequal_micro_batches_of_own_negatives_give_the_mean_of_the_step(cut):
    """Three rows are split into 1 + 2 or 2 + 1; the trainer halves each loss, as there are two micro-batches.

    The cosines 1 and 0.6, 0 and 0.8, then 0.6 and 1, are divided by 0.5.
    """
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    roles = torch.tensor([[1, 0], [0, 1], [0, 1]], dtype=torch.int8)
    weights = [1.5, 0.5, 1.0]
    loss = OwnNegativesLoss(Vectors(), 0.5, (2,), scale=2 / 3)
    parts = [
        loss([features(queries[rows]), features(PASSAGES)], labels(roles[rows], weights[rows]))
        for rows in (slice(cut), slice(cut, 3))
    ]
    rows = math.log(1 + math.exp(-0.8)), math.log(1 + math.exp(-1.6)), math.log(1 + math.exp(-0.8))
    whole = (1.5 * rows[0] + 0.5 * rows[1] + 1.0 * rows[2]) / 3
    assert sum(part.item() / 2 for part in parts) == pytest.approx(whole)


def test_the_divergence_from_soft_labels():
    """Labels 0.2 · ln 3 apart, over 0.2, ask for 3/4 and 1/4; the cosines 1 and 0.6 give e² : 1."""
    soft = torch.tensor([[0.2 * math.log(3), 0.0]])
    (loss,) = soft_losses(QUERIES[:1], PASSAGES, soft, temperature=0.2, dimensions=(2,)).tolist()
    found = [math.e**2 / (math.e**2 + 1), 1 / (math.e**2 + 1)]
    assert loss == pytest.approx(0.75 * math.log(0.75 / found[0]) + 0.25 * math.log(0.25 / found[1]), abs=1e-6)


def test_there_is_no_divergence_from_labels_that_are_the_cosines():
    cosines = torch.tensor([[1.0, 0.6], [0.0, 0.8]])
    losses = soft_losses(QUERIES, PASSAGES, cosines, temperature=0.05, dimensions=(2,))
    assert losses.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_the_divergence_equals_that_of_sentence_transformers():
    """Theirs has one temperature for both, and multiplies the loss by its square."""
    from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss

    queries, (first, second) = torch.nn.functional.normalize(QUERIES, dim=1), PASSAGES
    soft = torch.tensor([[0.3, 0.1], [-0.2, 0.9]])  # wanted cosines
    ours = soft_losses(queries, PASSAGES, soft, temperature=0.4, dimensions=(2,)).mean()
    columns = [features(one.repeat(2, 1) / one.norm()) for one in (first, second)]
    theirs = DistillKLDivLoss(Vectors(), temperature=0.4)([features(queries), *columns], soft)
    assert ours.item() * 0.4**2 == pytest.approx(theirs.item(), rel=1e-5)


def test_with_soft_labels_the_in_batch_loss_adds_a_tenth_of_the_cross_entropy():
    soft = torch.tensor([[0.3, 0.1], [-0.2, 0.9]])
    loss = InBatchLoss(Vectors(), 0.5, (2,), piece=1)
    value = loss([features(QUERIES), features(PASSAGES)], labels(ALL, [1.5, 0.5], soft=soft))
    divergence = soft_losses(QUERIES, PASSAGES, soft, 0.5, (2,)).tolist()
    first = divergence[0] + 0.1 * math.log(1 + math.exp(-0.8))
    second = divergence[1] + 0.1 * math.log(1 + math.exp(-1.6))
    assert value.item() == pytest.approx((1.5 * first + 0.5 * second) / 2)


@pytest.fixture(params=[make_tiny_model, make_tiny_llama], ids=["bert", "llama"])
def model(request, tmp_path):
    path = request.param(tmp_path / "base")
    return load_model(path, tiny_contract(path), RuntimeSettings(device="cpu")).float()


def gradients(model, piece):
    """Return loss and gradients of an in-batch step, with dropout."""
    model.train().zero_grad()
    torch.manual_seed(7)
    tokens = [model.preprocess(TEXTS), model.preprocess([f"passage {text}" for text in TEXTS])]
    roles = torch.full((5, 5), NEGATIVE, dtype=torch.int8).fill_diagonal_(POSITIVE)
    loss = InBatchLoss(model, 0.1, (32,), piece)(tokens, labels(roles))
    loss.backward()
    return loss.item(), {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}


@pytest.mark.parametrize("piece", [1, 2, 5, 9])
def test_cached_gradients_are_the_plain_gradients(model, piece):
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    plain_loss, plain = gradients(model, piece=100)
    loss, cached = gradients(model, piece)
    assert loss == pytest.approx(plain_loss, rel=1e-5)
    assert cached.keys() == plain.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(cached[name], gradient, rtol=1e-4, atol=1e-6)


def test_dropout_is_the_same_when_a_piece_is_encoded_again(model, monkeypatch):
    loss, cached = gradients(model, piece=2)
    monkeypatch.setattr(embed_module, "checkpoint", lambda encode, *arguments, **_: encode(*arguments))
    kept_loss, kept = gradients(model, piece=2)
    assert loss == kept_loss
    for name, gradient in kept.items():
        torch.testing.assert_close(cached[name], gradient)


def test_vectors_keep_their_order(model):
    model.eval()
    with torch.no_grad():
        vectors = embed_cached(model, model.preprocess(TEXTS), piece=2)
        alone = torch.cat([embed_cached(model, model.preprocess([text]), piece=2) for text in TEXTS])
    torch.testing.assert_close(vectors, alone, rtol=1e-4, atol=1e-5)


def test_padding_on_the_left_is_removed_too(tmp_path):
    path = make_tiny_llama(tmp_path / "base")
    model = load_model(path, tiny_contract(path), RuntimeSettings(device="cpu")).float().eval()
    with torch.no_grad():
        right = embed_cached(model, model.preprocess(TEXTS), piece=2)
        model.tokenizer.padding_side = "left"
        left = embed_cached(model, model.preprocess(TEXTS), piece=2)
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


def test_all_pieces_but_the_last_are_encoded_twice(model):
    """Five texts in pieces of 2, 2 and 1: the first two are encoded again, last first; the longest text is not."""
    encoded = []

    class Spy(nn.Module):
        def forward(self, tokens):
            encoded.append(tuple(tokens["attention_mask"].shape))
            return model(tokens)

    tokens = model.preprocess(TEXTS)
    lengths = sorted(tokens["attention_mask"].sum(dim=1).tolist())
    first, second, last = (2, lengths[1]), (2, lengths[3]), (1, lengths[4])
    embed_cached(Spy(), tokens, piece=2).sum().backward()
    assert encoded == [first, second, last, second, first]
