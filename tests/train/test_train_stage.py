"""The whole stage on a tiny random model."""

import json
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.errors import ConfigError, ContractError, GateError
from embedtune.core.progress import SilentProgress
from embedtune.train.dev import DevSet
from embedtune.train.fit import newest_checkpoint
from embedtune.train.probe import measure_step_seconds
from tests.support.training_world import Interrupt, make_world, record_of, tiny_config, train, weights


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("loss", ["own_negatives", "in_batch"])
def test_training_lowers_the_loss_and_finds_the_dev_passages(world, tmp_path, loss):
    config = tiny_config(world, loss=loss, epochs=6, learning_rate=5e-3)
    report = train(world, tmp_path / "model", config)
    record = record_of(tmp_path / "model")
    losses = [step.loss for step in record.steps]
    assert [step.step for step in record.steps] == list(range(1, 19))  # 6 epochs of 24 rows in batches of 8
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])
    assert report.metrics["dev_ndcg@10"] > report.metrics["dev_ndcg@10_base"]
    assert report.metrics["rows"] == 24
    assert report.notes == ()


def test_soft_labels_teach_what_the_words_say(world, tmp_path):
    """The tiny base is random: what there is to learn from it joined with BM25 are the words."""
    config = tiny_config(world, loss="hybrid", epochs=6, learning_rate=5e-3)
    report = train(world, tmp_path / "model", config)
    losses = [step.loss for step in record_of(tmp_path / "model").steps]
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
    assert report.metrics["dev_ndcg@10"] > report.metrics["dev_ndcg@10_base"]


def test_the_record_holds_every_step_and_measurement(world, tmp_path):
    config = tiny_config(world, epochs=2, evaluations_per_epoch=1)
    train(world, tmp_path / "model", config)
    record = record_of(tmp_path / "model")
    assert [entry.step for entry in record.dev] == [0, 3, 6]
    assert [entry.epoch for entry in record.dev] == [0, 1, 2]
    shares = [step.lr / 1e-3 for step in record.steps]
    assert shares[:3] == pytest.approx([0.1, 0.55, 1.0])  # 2 warm-up steps, then down
    assert shares[3:] == sorted(shares[3:], reverse=True)
    best = max(record.dev[1:], key=lambda entry: entry.ndcg_at_10)
    assert record.best.model_dump() == pytest.approx(best.model_dump())
    assert (record.rows, record.batch_size, record.device) == (24, 8, "cpu")
    assert record.matryoshka == ()


def test_while_a_checkpoint_is_measured_the_progress_says_so(world, tmp_path):
    notes: list[str] = []
    progress = SimpleNamespace(task=lambda name, *_: nullcontext(_Task(notes if name == "train" else [])))
    train(world, tmp_path / "model", tiny_config(world, epochs=2, evaluations_per_epoch=1), progress)
    measured = [number for number, note in enumerate(notes, 1) if note.endswith(", measuring on dev")]
    assert (len(notes), measured) == (6, [3, 6])


class _Task:
    def __init__(self, notes: list[str]) -> None:
        self.note = notes.append

    def advance(self, n: int = 1) -> None: ...

    def skip(self, n: int = 1) -> None: ...


@pytest.mark.parametrize("loss", ["own_negatives", "in_batch", "hybrid"])
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
def test_an_interrupted_run_continues_to_the_same_weights_to_the_bit(world, tmp_path, extra, cuts):
    """With checkpoints after steps 2, 4, …, 12: before the first one, between two, and at the very end."""
    config = tiny_config(world, epochs=4, micro_batch_size=3, evaluations_per_epoch=2, **extra)
    train(world, tmp_path / "whole", config)
    whole = record_of(tmp_path / "whole")
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
        assert record_of(output) == whole


def test_checkpoints_between_two_measurements_do_not_change_the_result(world, tmp_path):
    train(world, tmp_path / "whole", tiny_config(world))  # measured and saved after steps 3 and 6
    config = tiny_config(world, checkpoint_steps=1)
    with pytest.raises(KeyboardInterrupt):
        train(world, tmp_path / "cut", config, Interrupt(3))
    (checkpoints,) = (tmp_path / "cache-cut" / "train").iterdir()
    assert newest_checkpoint(checkpoints).name == "checkpoint-2"
    train(world, tmp_path / "cut", config)
    _assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert record_of(tmp_path / "cut") == record_of(tmp_path / "whole")


def test_checkpoints_of_a_large_corpus_are_ranked_on_a_pool_and_the_kept_one_on_everything(
    world, tmp_path, progress
):
    report = train(world, tmp_path / "model", tiny_config(world, dev_passages=2))
    record = record_of(tmp_path / "model")
    assert 2 < record.dev_pool < 48  # positives and nearest passages, which are more than 2
    assert any("(train.dev_passages)" in note for note in report.notes)
    config = tiny_config(world)
    dev = DevSet(world.dataset, config.contract, config.runtime)
    kept = TorchEncoder(tmp_path / "model", config.contract, config.runtime)
    (ndcg,) = dev.measure(kept, progress).values()
    assert record.best.ndcg_at_10 == pytest.approx(ndcg, abs=1e-6)


def test_an_incomplete_checkpoint_is_not_used(tmp_path):
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


def test_without_dev_questions_the_last_checkpoint_is_kept(tmp_path):
    world = make_world(tmp_path / "world", dev=0)
    report = train(world, tmp_path / "model", tiny_config(world))
    assert report.metrics["best_step"] == 6
    assert "dev_ndcg@10" not in report.metrics
    assert any("no dev questions" in note for note in report.notes)


def test_a_batch_that_the_recipe_reduces_gets_a_note(world, tmp_path):
    report = train(world, tmp_path / "model", tiny_config(world, batch_size=128, epochs=1))
    assert report.metrics["batch_size"] == 16
    assert report.notes[0].startswith("the batch of 128 rows was reduced to 16")


def test_micro_batches_do_not_change_the_training(world, tmp_path):
    """Accumulation is exact, up to rounding and without dropout."""
    world = replace(world, base=_without_dropout(world.base, tmp_path / "base"))
    world = make_world(tmp_path / "world", make_base=lambda path: world.base)
    for name, size in (("fine", 3), ("coarse", 8)):
        train(world, tmp_path / name, tiny_config(world, micro_batch_size=size, learning_rate=1e-4))
    fine, coarse, start = (_flat(weights(path)) for path in (tmp_path / "fine", tmp_path / "coarse", world.base))
    # Adam divides by the size of the gradient: where that is only rounding error, single weights may differ.
    assert np.linalg.norm(fine - coarse) < 0.01 * np.linalg.norm(coarse - start)
    fine, coarse = (record_of(tmp_path / name) for name in ("fine", "coarse"))
    losses = [[step.loss for step in record.steps] for record in (fine, coarse)]
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
    record = record_of(tmp_path / "model")
    merged = TorchEncoder(tmp_path / "model", config.contract, config.runtime)
    measured = DevSet(world.dataset, config.contract, config.runtime).measure(merged, SilentProgress())
    assert record.best.ndcg_at_10 == pytest.approx(measured[32])


def test_matryoshka_training_is_compared_for_each_size(world, tmp_path):
    world = make_world(tmp_path / "world", dimensions=(32, 8))
    train(world, tmp_path / "model", tiny_config(world, dimensions=(32, 8), matryoshka=True))
    record = record_of(tmp_path / "model")
    assert [row.dimension for row in record.matryoshka] == [32, 8]
    assert record.matryoshka[0].base == record.dev[0].ndcg_at_10
    assert record.matryoshka[0].tuned == record.best.ndcg_at_10


def test_nothing_to_train_on_is_an_error(tmp_path):
    world = make_world(tmp_path / "world", rows=0)
    with pytest.raises(GateError, match="no rows to train on"):
        train(world, tmp_path / "model", tiny_config(world))


def test_too_few_negatives_are_an_error(tmp_path):
    world = make_world(tmp_path / "world", wrong=1)
    assert len(pq.read_table(world.triplets / "triplets.parquet")["negative_ids"][0]) == 1
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
def test_the_probe_measures_the_time_of_a_step(world, loss):
    config = tiny_config(world, loss=loss)
    assert 0 < measure_step_seconds(world.base, config, 24, SilentProgress()) < 60


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


def test_further_seeds_are_trained_like_runs_of_their_own_and_survive_an_interruption(world, tmp_path):
    """Two epochs are 6 steps: the interruption comes in the second training."""
    config = tiny_config(world, seeds=3, lora={"rank": 4})
    with pytest.raises(KeyboardInterrupt):
        train(world, tmp_path / "three", config, Interrupt(10))
    train(world, tmp_path / "three", config)
    for seed in (43, 44):
        alone = tiny_config(world, lora={"rank": 4}).model_copy(update={"seed": seed})
        train(world, tmp_path / str(seed), alone)
        _assert_equal(weights(tmp_path / str(seed)), weights(tmp_path / "three" / "seeds" / str(seed)))
    train(world, tmp_path / "one", tiny_config(world, lora={"rank": 4}))
    _assert_equal(weights(tmp_path / "one"), weights(tmp_path / "three"))
    record, own = record_of(tmp_path / "three"), record_of(tmp_path / "43")
    assert [entry.seed for entry in record.seeds] == [43, 44]
    assert record.seeds[0].step == own.best.step
    assert record.seeds[0].dev_ndcg_at_10 == pytest.approx(own.best.ndcg_at_10)
    assert not list((tmp_path / "cache-three" / "train").iterdir())


def test_two_seeds_are_refused(world):
    with pytest.raises(ConfigError, match=r"train.*seeds must be 1 or at least 3"):
        tiny_config(world, seeds=2)
