"""The stage as a whole, on a tiny random model."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.numpy import load_file

from embedtune.core.artifacts import read_artifact
from embedtune.core.contract import load_contract
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.errors import ContractError, GateError
from embedtune.core.progress import SilentProgress
from embedtune.train.card import EVALUATION_MARK
from embedtune.train.dev import DevSet
from embedtune.train.fit import newest_checkpoint
from embedtune.train.probe import measure_step_seconds
from embedtune.train.stage import run
from tests.support.context import context
from tests.support.tiny_model import make_tiny_llama
from tests.support.training_world import Interrupt, make_world, tiny_config

TEXTS = ["the kiln", "pressure limit of the press", "what is alarm code 7 of the drum"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def train(world, output, config, progress=None):
    return run(
        world.triplets,
        world.dataset,
        output,
        context(config, output.parent / f"cache-{output.name}", progress),
    )


def weights(model):
    return load_file(model / "model.safetensors")


def vectors(model, config):
    encoder = TorchEncoder(model, config.contract, config.runtime)
    return encoder.encode_queries(TEXTS, SilentProgress()), encoder.encode_passages(TEXTS, SilentProgress())


@pytest.mark.parametrize("loss", ["own_negatives", "in_batch"])
def test_training_lowers_the_loss_and_finds_the_dev_passages(world, tmp_path, loss):
    config = tiny_config(world, loss=loss, epochs=6, learning_rate=5e-3)
    report = train(world, tmp_path / "model", config)
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    losses = [step["loss"] for step in record["steps"]]
    assert [step["step"] for step in record["steps"]] == list(range(1, 19))  # 6 epochs of 24 rows in batches of 8
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])
    assert report.metrics["dev_ndcg@10"] > report.metrics["dev_ndcg@10_base"]
    assert report.metrics["rows"] == 24
    assert report.notes == ()


def test_the_curves_tell_of_every_step_and_measurement(world, tmp_path):
    config = tiny_config(world, epochs=2, evaluations_per_epoch=1)
    train(world, tmp_path / "model", config)
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    assert [entry["step"] for entry in record["dev"]] == [0, 3, 6]
    assert [entry["epoch"] for entry in record["dev"]] == [0, 1, 2]
    shares = [step["lr"] / 1e-3 for step in record["steps"]]
    assert shares[:3] == pytest.approx([0.1, 0.55, 1.0])  # 2 warm-up steps, then down
    assert shares[3:] == sorted(shares[3:], reverse=True)
    best = max(record["dev"][1:], key=lambda entry: entry["ndcg@10"])
    assert record["best"] == pytest.approx(best)
    assert (record["rows"], record["batch_size"], record["device"]) == (24, 8, "cpu")
    assert record["matryoshka"] is None


@pytest.mark.parametrize("make_base", [None, make_tiny_llama], ids=["bert", "llama"])
def test_the_model_loads_unchanged_in_sentence_transformers(world, tmp_path, make_base):
    from sentence_transformers import SentenceTransformer

    if make_base is not None:
        world = make_world(tmp_path / "world", make_base=make_base)
    config = tiny_config(world)
    train(world, tmp_path / "model", config)
    queries, passages = vectors(tmp_path / "model", config)
    loaded = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert [type(module).__name__ for module in loaded] == ["Transformer", "Pooling", "Normalize"]
    assert loaded.prompts == {"query": "query: ", "document": "passage: "}
    assert loaded.max_seq_length == 64
    np.testing.assert_allclose(loaded.encode_query(TEXTS), queries, atol=1e-6)
    np.testing.assert_allclose(loaded.encode_document(TEXTS), passages, atol=1e-6)
    assert load_contract(tmp_path / "model") == config.contract


def test_the_model_directory_holds_no_pickle_and_no_checkpoint(world, tmp_path):
    config = tiny_config(world)
    train(world, tmp_path / "model", config)
    names = set(read_artifact(tmp_path / "model", "model").manifest.files)
    assert {"model.safetensors", "modules.json", "embedtune.json", "training.json", "README.md"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert list((tmp_path / "cache-model" / "train").iterdir()) == []


def test_the_model_card_is_ready_for_the_hub_and_for_the_figures(world, tmp_path):
    train(world, tmp_path / "model", tiny_config(world))
    _, front, text = (tmp_path / "model" / "README.md").read_text().split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["library_name"] == "sentence-transformers"
    assert matter["base_model"] == str(world.base)
    assert (matter["license"], matter["license_name"]) == ("other", "see-base-model")
    assert EVALUATION_MARK in text
    assert "24 rows" in text
    assert "| query prefix | `query: ` |" in text
    assert "$" not in text


@pytest.mark.parametrize("loss", ["own_negatives", "in_batch"])
def test_the_same_seed_gives_the_same_weights_to_the_bit(world, tmp_path, loss):
    config = tiny_config(world, loss=loss)
    train(world, tmp_path / "a", config)
    train(world, tmp_path / "b", config)
    _assert_equal(weights(tmp_path / "a"), weights(tmp_path / "b"))


@pytest.mark.parametrize(
    ("extra", "cuts"),
    [({}, (2, 5, 12)), ({"loss": "in_batch"}, (5,)), ({"lora": {"rank": 4, "dropout": 0.1}}, (5, 12))],
    ids=["own_negatives", "in_batch", "lora"],
)
def test_a_cut_off_run_goes_on_to_the_same_weights_to_the_bit(world, tmp_path, extra, cuts):
    """Checkpoints after steps 2, 4, … of 12: cut before the first one, between two, and at the very end."""
    config = tiny_config(world, epochs=4, micro_batch_size=3, evaluations_per_epoch=2, **extra)
    train(world, tmp_path / "whole", config)
    whole = json.loads((tmp_path / "whole" / "training.json").read_text())
    for step in cuts:
        output = tmp_path / f"cut-{step}"
        with pytest.raises(KeyboardInterrupt):
            train(world, output, config, Interrupt(step))
        assert not output.exists()
        (checkpoints,) = (tmp_path / f"cache-cut-{step}" / "train").iterdir()
        assert len(list(checkpoints.glob("checkpoint-*"))) <= 2  # the best and the last
        assert (newest_checkpoint(checkpoints) is None) == (step == 2)
        train(world, output, config)
        _assert_equal(weights(tmp_path / "whole"), weights(output))
        record = json.loads((output / "training.json").read_text())
        assert {key: record[key] for key in ("steps", "dev", "best")} == {
            key: whole[key] for key in ("steps", "dev", "best")
        }


def test_a_checkpoint_that_was_cut_off_is_not_used(tmp_path):
    for step, state in ((5, "{}"), (10, "{}"), (15, '{"half'), (20, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert newest_checkpoint(tmp_path).name == "checkpoint-10"
    assert newest_checkpoint(tmp_path / "none") is None


def test_a_finished_model_is_not_trained_again(world, tmp_path):
    config = tiny_config(world)
    first = train(world, tmp_path / "model", config)
    again = train(world, tmp_path / "model", config, Interrupt(1))
    assert again.metrics == first.metrics


def test_the_best_checkpoint_is_kept_not_the_last(world, tmp_path, monkeypatch):
    from embedtune.train import dev

    grades = iter([0.1, 0.3, 0.2])  # base; steps 3 and 6
    monkeypatch.setattr(dev.DevSet, "measure", lambda *_: {32: next(grades)})
    report = train(world, tmp_path / "model", tiny_config(world, learning_rate=1e-2))
    assert report.metrics["best_step"] == 3
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    assert [entry["ndcg@10"] for entry in record["dev"]] == [0.1, 0.3, 0.2]
    monkeypatch.undo()
    # Its weights are those of a run that is cut after three steps, not those of the end.
    config = tiny_config(world, learning_rate=1e-2)
    with pytest.raises(KeyboardInterrupt):
        train(world, tmp_path / "cut", config, Interrupt(4))
    (checkpoints,) = (tmp_path / "cache-cut" / "train").iterdir()
    _assert_equal(weights(tmp_path / "model"), weights(checkpoints / "checkpoint-3"))


def test_not_beating_the_base_is_said(world, tmp_path, monkeypatch):
    from embedtune.train import dev

    grades = iter([0.5, 0.3, 0.4])
    monkeypatch.setattr(dev.DevSet, "measure", lambda *_: {32: next(grades)})
    report = train(world, tmp_path / "model", tiny_config(world))
    assert report.metrics["best_step"] == 6
    assert "no checkpoint beats the base model on dev" in report.notes[0]


def test_without_dev_questions_the_last_checkpoint_is_kept(tmp_path):
    world = make_world(tmp_path / "world", dev=0)
    report = train(world, tmp_path / "model", tiny_config(world))
    assert report.metrics["best_step"] == 6
    assert "dev_ndcg@10" not in report.metrics
    assert any("no dev questions" in note for note in report.notes)


def test_a_batch_that_the_recipe_shrinks_is_said(world, tmp_path):
    report = train(world, tmp_path / "model", tiny_config(world, batch_size=128, epochs=1))
    assert report.metrics["batch_size"] == 16
    assert report.notes[0].startswith("the batch of 128 rows became 16")


def test_micro_batches_do_not_change_the_training(world, tmp_path):
    """Up to rounding, and without dropout: accumulation is exact."""
    world = replace(world, base=_without_dropout(world.base, tmp_path / "base"))
    world = make_world(tmp_path / "world", make_base=lambda path: world.base)
    for name, size in (("fine", 3), ("coarse", 8)):
        train(world, tmp_path / name, tiny_config(world, micro_batch_size=size, learning_rate=1e-4))
    fine, coarse, start = (_flat(weights(path)) for path in (tmp_path / "fine", tmp_path / "coarse", world.base))
    # Adam divides by the gradient's size, so where that is mere rounding, single weights may differ.
    assert np.linalg.norm(fine - coarse) < 0.01 * np.linalg.norm(coarse - start)
    fine, coarse = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("fine", "coarse"))
    losses = [[step["loss"] for step in record["steps"]] for record in (fine, coarse)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_adapters_are_merged_into_the_saved_weights(world, tmp_path):
    config = tiny_config(world, lora={"rank": 4}, epochs=4)
    train(world, tmp_path / "model", config)
    base, tuned = weights(world.base), weights(tmp_path / "model")
    assert base.keys() == tuned.keys()
    change = {name: tuned[name] - base[name] for name in base}
    moved = {name for name, delta in change.items() if np.abs(delta).max() > 0}
    assert moved
    assert all(name.endswith("weight") and base[name].ndim == 2 for name in moved)
    assert not [name for name in moved if "embeddings" in name]
    assert max(np.linalg.matrix_rank(change[name], tol=1e-5) for name in moved) == 4
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    merged = TorchEncoder(tmp_path / "model", config.contract, config.runtime)
    measured = DevSet(world.dataset, config.contract, config.runtime).measure(merged, SilentProgress())
    assert record["best"]["ndcg@10"] == pytest.approx(measured[32])


def test_matryoshka_gives_a_table_by_size(world, tmp_path):
    world = make_world(tmp_path / "world", dimensions=(32, 8))
    train(world, tmp_path / "model", tiny_config(world, dimensions=(32, 8), matryoshka=True))
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    assert [row["dimension"] for row in record["matryoshka"]] == [32, 8]
    assert record["matryoshka"][0]["base"] == record["dev"][0]["ndcg@10"]
    assert record["matryoshka"][0]["tuned"] == record["best"]["ndcg@10"]


def test_bf16_trains_float32_weights(world, tmp_path):
    train(world, tmp_path / "model", tiny_config(world, precision="bf16", gradient_checkpointing="on", epochs=1))
    assert {value.dtype.name for value in weights(tmp_path / "model").values()} == {"float32"}


def test_nothing_to_train_on_is_an_error(tmp_path):
    world = make_world(tmp_path / "world", rows=0)
    with pytest.raises(GateError, match="nothing to train on"):
        train(world, tmp_path / "model", tiny_config(world))


def test_too_few_negatives_are_an_error(tmp_path):
    world = make_world(tmp_path / "world", wrong=1)
    assert len(pq.read_table(world.triplets / "triplets.parquet")["negatives"][0]) == 1
    with pytest.raises(GateError, match="24 of 24 rows have fewer negatives"):
        train(world, tmp_path / "model", tiny_config(world, negatives=2))


def test_a_diverged_run_stops_and_names_step_and_learning_rate(world, tmp_path):
    config = tiny_config(world, learning_rate=1.0, temperature=1e-38, warmup_steps=0, max_grad_norm=1e30)
    with pytest.raises(GateError, match=r"diverged at step \d+ with learning rate"):
        train(world, tmp_path / "model", config)
    assert not (tmp_path / "model").exists()


def test_inputs_made_under_another_contract_are_refused(world, tmp_path):
    config = tiny_config(world)
    contract = config.contract.model_copy(update={"query_prefix": "q: "})
    with pytest.raises(ContractError, match="the triplets"):
        train(world, tmp_path / "model", config.model_copy(update={"contract": contract}))


def test_a_base_of_another_size_is_refused(tmp_path):
    world = make_world(tmp_path / "world", dimensions=(64,), dev=0)
    with pytest.raises(ContractError, match="do not have the size"):
        train(world, tmp_path / "model", tiny_config(world, dimensions=(64,)))


@pytest.mark.parametrize("loss", ["own_negatives", "in_batch"])
def test_the_probe_measures_a_step(world, loss):
    assert 0 < measure_step_seconds(world.base, tiny_config(world, loss=loss), rows=24) < 60


def _without_dropout(base, path):
    path.mkdir()
    for file in base.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    config = json.loads((path / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (path / "config.json").write_text(json.dumps(config))
    return path


def _flat(tensors):
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)])


def _assert_equal(left, right):
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert value.tobytes() == right[name].tobytes(), name
