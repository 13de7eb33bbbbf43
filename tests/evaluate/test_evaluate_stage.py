"""The stage as a whole: from a dataset and a model to metrics and a verdict, on tiny real models."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from embedtune.core.artifacts import read_artifact, write_artifact
from embedtune.core.comparisons import Comparisons
from embedtune.core.config.config import Config
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.errors import ConfigError, ContractError, GateError, InputError
from embedtune.core.records.base import read_record
from embedtune.core.records.evaluation import (
    EXAMPLES_FILE,
    SLICES_FILE,
    VERDICT_FILE,
    Examples,
    Slices,
    VerdictRecord,
    scan_figure,
)
from embedtune.core.records.metrics import METRICS_FILE, Metrics, SetMetrics
from embedtune.core.retrieval.beir import write_qrels
from embedtune.core.stage import stage_provenance
from embedtune.evaluate.stage import run
from tests.support.context import context
from tests.support.evaluation_records import interval
from tests.support.evaluation_site import TEXTS, beir_set, dataset_artifact, model_artifact
from tests.support.remote_services import Traffic, fake_gateway
from tests.support.tiny_model import TINY_DIMENSION, make_tiny_model, tiny_contract


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    contract = tiny_contract(make_tiny_model(root / "base", seed=0))
    config = Config.model_validate(
        {"contract": contract, "evaluate": {"k": [1, 5], "interval_samples": 200}, "runtime": {"device": "cpu"}}
    )
    return root, dataset_artifact(root / "dataset"), model_artifact(root / "model", contract, seed=1), config


def _run(site, output: Path, *, config=None, dataset=None, model=None, comparisons=None):
    root, its_dataset, its_model, its_config = site
    return run(
        dataset or its_dataset,
        model or its_model,
        output,
        context(config or its_config, root / "cache"),
        comparisons,
    )


def _metrics(output: Path) -> dict[str, SetMetrics]:
    return read_record(output / METRICS_FILE, Metrics).sets


def _verdict(output: Path) -> VerdictRecord:
    return read_record(output / VERDICT_FILE, VerdictRecord)


def _with(config: Config, **evaluate) -> Config:
    return config.model_copy(update={"evaluate": config.evaluate.model_copy(update=evaluate)})


def test_the_metrics_cover_every_system_and_cut_off(site, tmp_path):
    report = _run(site, tmp_path / "evaluation")
    metrics = _metrics(read_artifact(tmp_path / "evaluation", "evaluation").path)
    assert list(metrics) == ["synthetic"]
    entry = metrics["synthetic"]
    assert entry.queries == 6
    assert entry.delta_champion is None
    assert list(entry.systems) == ["bm25", "base", "tuned"]
    names = [f"{family}@{k}" for family in ("ndcg", "recall", "precision", "mrr") for k in (1, 5, 10)]
    assert all(list(means) == names for means in entry.systems.values())
    assert list(entry.delta) == names
    assert entry.systems["bm25"]["ndcg@10"] == 1.0  # each query shares a word with its own passage only
    assert report.stage == "evaluate"
    assert report.metrics["synthetic.bm25_rank1_share"] == 1.0
    assert 0 < report.metrics["synthetic.word_overlap"] < 0.5  # two of three words are in no passage
    assert any("only 6 questions" in note for note in report.notes)


def test_the_difference_is_the_difference_of_the_means(site, tmp_path):
    _run(site, tmp_path / "evaluation")
    entry = _metrics(tmp_path / "evaluation")["synthetic"]
    for name, delta in entry.delta.items():
        expected = entry.systems["tuned"][name] - entry.systems["base"][name]
        assert delta.mean == pytest.approx(expected, abs=2e-6)
        assert delta.low <= delta.mean <= delta.high


def test_the_table_of_queries_agrees_with_the_means(site, tmp_path):
    _run(site, tmp_path / "evaluation")
    table = pq.read_table(tmp_path / "evaluation/per_query.parquet").to_pylist()
    assert len(table) == 6 * 3
    for system, means in _metrics(tmp_path / "evaluation")["synthetic"].systems.items():
        rows = [row for row in table if row["system"] == system]
        assert np.mean([row["mrr@10"] for row in rows]) == pytest.approx(means["mrr@10"], abs=1e-6)
        assert all((row["mrr@10"] or 0) == pytest.approx(1 / row["first_relevant_rank"]) for row in rows)


def test_slices_and_examples_are_written_for_every_set(site, tmp_path):
    sets = {"hand": beir_set(tmp_path / "hand")}
    _run(site, tmp_path / "evaluation", comparisons=Comparisons(sets))
    slices = read_record(tmp_path / "evaluation" / SLICES_FILE, Slices).sets
    assert list(slices) == ["synthetic", "hand"]
    assert {one.dimension for one in slices["hand"].slices} == {"all", "hops", "length", "lexical_ease"}
    examples = read_record(tmp_path / "evaluation" / EXAMPLES_FILE, Examples).sets
    assert list(examples) == ["synthetic", "hand"]
    assert examples["hand"].wins + examples["hand"].losses


def test_the_same_model_against_itself_is_marginal(site, tmp_path):
    config = site[3]
    same = model_artifact(tmp_path / "same", config.contract, seed=0)
    _run(site, tmp_path / "evaluation", model=same)
    verdict = _verdict(tmp_path / "evaluation")
    assert verdict.verdict == "MARGINAL"
    assert verdict.delta == interval(0.0, 0.0, 0.0, units=6)
    assert verdict.promotion.against == "base"


def test_further_sets_and_a_champion(site, tmp_path):
    model = site[2]
    sets = {"hand": beir_set(tmp_path / "hand"), "other": beir_set(tmp_path / "other")}
    _run(site, tmp_path / "evaluation", comparisons=Comparisons(sets, champion=model))
    metrics = _metrics(tmp_path / "evaluation")
    assert list(metrics) == ["synthetic", "hand", "other"]
    assert list(metrics["hand"].systems) == ["bm25", "base", "tuned", "champion"]
    assert metrics["hand"].delta_champion["ndcg@10"] == interval(0.0, 0.0, 0.0, units=6)
    verdict = _verdict(tmp_path / "evaluation")
    assert verdict.decided_on == "hand"
    assert verdict.promotion.against == "champion"
    assert verdict.promotion.better is False


def test_a_live_endpoint_is_measured_too_and_again_when_it_serves_something_else(site, tmp_path):
    output = tmp_path / "evaluation"
    with fake_gateway(record := Traffic(dimension=TINY_DIMENSION)) as url:
        report = _run(site, output, comparisons=Comparisons(endpoint=url))
        first = _metrics(output)["synthetic"].systems
        assert list(first) == ["bm25", "base", "tuned", "endpoint"]
        assert sorted({kind for kind, _ in record.batches}) == ["passage", "query"]
        assert ("query", [f"check the {text.split()[0]}" for text in TEXTS]) in record.batches
        assert report.metrics["synthetic.endpoint.ndcg@10"] == first["endpoint"]["ndcg@10"] != 1.0
        assert any("the endpoint's nDCG@10 is" in note for note in report.notes)
        asked = len(record.batches)
        _run(site, output, comparisons=Comparisons(endpoint=url))
        assert len(record.batches) == asked + 4  # only the texts that identify the model that is served
        record.change = lambda vectors: np.ones_like(vectors) / np.sqrt(TINY_DIMENSION)  # all passages tie
        _run(site, output, comparisons=Comparisons(endpoint=url))
    last = _metrics(output)["synthetic"].systems
    # Ties are broken by descending id: q5 finds p5 first, q4 finds p4 second, and so on.
    assert last["endpoint"]["ndcg@10"] == pytest.approx(np.mean(1 / np.log2(np.arange(2, 8))), abs=1e-5)
    assert last["tuned"] == first["tuned"]


def test_it_runs_once_and_again_when_an_input_changes(site, tmp_path):
    output = tmp_path / "evaluation"
    hand, other = beir_set(tmp_path / "hand"), beir_set(tmp_path / "other")
    first = _run(site, output, comparisons=Comparisons({"hand": hand, "other": other}))
    before = (output / "manifest.json").stat().st_mtime_ns
    again = _run(site, output, comparisons=Comparisons({"hand": hand, "other": other}))
    assert again == replace(first, seconds=round(first.seconds, 3))
    assert (output / "manifest.json").stat().st_mtime_ns == before
    _run(site, output, comparisons=Comparisons({"other": other, "hand": hand}))  # another set decides
    assert _verdict(output).decided_on == "other"
    guarded = _with(site[3], guard_sets=("other",))  # it guards, and the next one decides
    _run(site, output, config=guarded, comparisons=Comparisons({"other": other, "hand": hand}))
    assert _verdict(output).decided_on == "hand"
    assert [reason.partition(":")[0] for reason in _verdict(output).reasons] == [
        "synthetic",
        "other (guards)",
        "hand (decides)",
    ]


def test_two_runs_write_the_same_files(site, tmp_path):
    root = site[0]
    _run(site, tmp_path / "one")
    shutil.rmtree(root / "cache")
    _run(site, tmp_path / "two")
    one, two = (read_artifact(tmp_path / name, "evaluation") for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint


def test_an_empty_test_split_is_refused(site, tmp_path):
    empty = dataset_artifact(tmp_path / "dataset", judged=False)
    with pytest.raises(InputError, match="synthetic has nothing to evaluate"):
        _run(site, tmp_path / "evaluation", dataset=empty)
    assert not (tmp_path / "evaluation").exists()


def test_an_incomplete_set_is_refused_by_name(site, tmp_path):
    hand = beir_set(tmp_path / "hand")
    (hand / "qrels" / "test.tsv").rename(hand / "qrels.tsv")
    with pytest.raises(InputError, match=r"(?s)hand is not complete.*lacks qrels/test\.tsv; it has: .*qrels\.tsv"):
        _run(site, tmp_path / "evaluation", comparisons=Comparisons({"hand": hand}))


def test_a_damaged_set_is_refused_by_name(site, tmp_path):
    hand = beir_set(tmp_path / "hand")
    write_qrels(hand / "qrels" / "test.tsv", {"q0": {"nowhere": 1}})
    with pytest.raises(InputError, match=r"(?s)set hand: .*unknown passages.*nowhere"):
        _run(site, tmp_path / "evaluation", comparisons=Comparisons({"hand": hand}))


@pytest.mark.parametrize("name", ["synthetic", " "])
def test_an_empty_or_reserved_name_is_refused(site, tmp_path, name):
    with pytest.raises(InputError, match="cannot have this name"):
        _run(site, tmp_path / "evaluation", comparisons=Comparisons({name: beir_set(tmp_path / "hand")}))


def test_a_deciding_set_that_is_not_evaluated_is_refused(site, tmp_path):
    with pytest.raises(ConfigError, match="decide_on"):
        _run(site, tmp_path / "evaluation", config=_with(site[3], decide_on="hand"))


def test_a_model_of_another_contract_is_refused(site, tmp_path):
    other = model_artifact(tmp_path / "model", site[3].contract.model_copy(update={"query_prefix": ""}), seed=1)
    with pytest.raises(ContractError, match="query_prefix"):
        _run(site, tmp_path / "evaluation", model=other)


def test_vectors_that_are_not_finite_stop_the_run_and_name_the_system(site, tmp_path, monkeypatch):
    honest = TorchEncoder.encode_passages

    def broken(self, texts, progress):
        vectors = honest(self, texts, progress)
        vectors[2] = np.nan
        return vectors

    monkeypatch.setattr(TorchEncoder, "encode_passages", broken)
    with pytest.raises(GateError, match="base on the set synthetic: 1 of 6 vectors"):
        _run(site, tmp_path / "evaluation")


def test_every_served_size_is_measured_for_base_tuned_and_champion(site, tmp_path):
    contract = site[3].contract.model_copy(update={"dimensions": (TINY_DIMENSION, 16, 8)})
    model = model_artifact(tmp_path / "model", contract, seed=1)
    older = contract.model_copy(update={"dimensions": (TINY_DIMENSION, 16)})
    champion = model_artifact(tmp_path / "champion", older, seed=2)
    report = _run(
        site,
        tmp_path / "evaluation",
        config=site[3].model_copy(update={"contract": contract}),
        model=model,
        comparisons=Comparisons(champion=champion),
    )
    entry = _metrics(tmp_path / "evaluation")["synthetic"]
    assert [size.dimension for size in entry.smaller] == [16, 8]
    assert [list(size.systems) for size in entry.smaller] == [["base", "tuned", "champion"], ["base", "tuned"]]
    assert [size.delta_champion is None for size in entry.smaller] == [False, True]
    for size in entry.smaller:
        means = {system: values["ndcg@10"] for system, values in size.systems.items()}
        assert size.delta["ndcg@10"].mean == pytest.approx(means["tuned"] - means["base"], abs=2e-6)
        assert size.change.mean == pytest.approx(means["tuned"] - entry.systems["tuned"]["ndcg@10"], abs=2e-6)
        assert report.metrics[f"synthetic.tuned.ndcg@10.{size.dimension}_dimensions"] == means["tuned"]
    served = [(size, kind) for size in (TINY_DIMENSION, 16, 8) for kind in ("float", "int8", "ubinary")]
    assert [(form.size, form.type) for form in entry.forms] == served
    assert entry.forms[3].tuned["ndcg@10"] == entry.smaller[0].systems["tuned"]["ndcg@10"]
    assert all(report.metrics[scan_figure(*form)] > 0 for form in served)
    assert _verdict(tmp_path / "evaluation").measured.dimension == TINY_DIMENSION


def test_all_models_are_measured_in_one_precision_and_the_verdict_names_it(site, tmp_path):
    config = site[3]
    half = config.model_copy(update={"runtime": config.runtime.model_copy(update={"precision": "bf16"})})
    for used, expected in ((config, "fp32"), (half, "bf16")):
        _run(site, tmp_path / expected, config=used)
        assert _verdict(tmp_path / expected).measured.precision == expected
    with write_artifact(tmp_path / "model", "model", stage_provenance("train", config, {})) as draft:
        make_tiny_model(draft.path, seed=1)
        config.contract.save(draft.path)
        [(draft.path / name).write_text("[]") for name in ("modules.json", "training.json")]
    with pytest.raises(ConfigError, match=r"(?s)model and evaluate have different precisions.*fp32.*bf16"):
        _run(site, tmp_path / "evaluation", config=half, model=tmp_path / "model")
