"""The whole stage on a tiny random model: what it writes, what it refuses, and that it reuses its output."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from embedtune.core.artifacts import read_artifact
from embedtune.core.encoders.onnx import OnnxEncoder
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.errors import ConfigError, GateError
from embedtune.core.progress import SilentProgress
from embedtune.core.records.base import read_record
from embedtune.core.records.engine import ENGINE_FILE, PARITY_FILE, Engine, Parity
from embedtune.core.retrieval.beir import read_retrieval_set
from embedtune.core.retrieval.corpus_sample import read_corpus_sample
from tests.support.export_case import make_export_case


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return make_export_case(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def report(case):
    return case.run()


def test_the_engine_returns_the_models_vectors_and_parity_json_says_so(case, report):
    engine = read_artifact(case.root / "engine", "engine")
    record = read_record(engine.path / PARITY_FILE, Parity)
    assert (record.texts, record.dev_queries) == (256, 6)
    assert record.tokens.most == case.config().contract.max_length
    full = record.variants["fp32"]
    assert full.passed is True
    assert full.min_cosine >= 0.9999
    assert full.ndcg == pytest.approx(record.pytorch_ndcg, abs=0.005)
    assert report.metrics["min_cosine_fp32"] == round(full.min_cosine, 6)
    assert engine.manifest.counts == {"texts": 256, "dev_queries": 6}


def test_the_reference_contains_pytorchs_vectors(case, report):
    rows = pq.read_table(case.root / "engine" / "reference.parquet").to_pylist()
    assert len(rows) == 256
    queries = [row for row in rows if row["kind"] == "query"]
    assert 0 < len(queries) < 256
    config = case.config()
    encoder = TorchEncoder(case.model, config.contract, config.runtime)
    expected = encoder.encode_queries([row["text"] for row in queries], SilentProgress())
    np.testing.assert_allclose(np.array([row["vector"] for row in queries]), expected, atol=1e-6)


def test_the_sample_of_the_corpus_has_the_vectors_of_its_passages(case, report):
    sample = read_corpus_sample(case.root / "engine" / "corpus_sample.npz")
    config, dev = case.config(), read_retrieval_set(case.dataset, "dev")
    assert sample.sizes == config.contract.dimensions
    encoder = TorchEncoder(case.model, config.contract, config.runtime)
    passages = encoder.encode_passages([passage.text for passage in dev.corpus], SilentProgress())
    assert len(sample.passages) == min(256, len(passages))
    assert (sample.passages @ passages.T).max(axis=1) == pytest.approx(1, abs=1e-3)
    questions = encoder.encode_queries([query.text for query in dev.queries], SilentProgress())
    assert sample.far(questions).sum() <= 1  # of six, 5% are none or one


def test_an_engine_that_is_up_to_date_is_not_exported_again(case, report):
    before = (case.root / "engine" / "model.onnx").stat().st_mtime_ns
    assert case.run().metrics == report.metrics
    assert (case.root / "engine" / "model.onnx").stat().st_mtime_ns == before


def test_int8_replaces_fp32_if_it_is_configured(case, report):
    case.run("small", precision="int8", min_cosine_int8=0.5, max_ndcg_drift=1.0)
    assert not (case.root / "small" / "int8").exists()
    config = case.config()
    texts = ["the kiln", "pressure limit of the press"]
    full, small = (
        OnnxEncoder(case.root / name, config.runtime).encode_queries(texts, SilentProgress())
        for name in ("engine", "small")
    )
    cosines = (full * small).sum(axis=1)
    assert (cosines > 0.5).all()
    assert (cosines < 1 - 1e-6).all()  # it is the int8 graph


def test_an_engine_that_is_not_close_enough_fails_the_stage_and_leaves_nothing(case):
    with pytest.raises(
        GateError, match=r"int8 encoder does not return the model's vectors(.|\n)*of 256 texts below"
    ):
        case.run("refused", precision="int8", min_cosine_int8=1.0)
    assert not (case.root / "refused").exists()


def test_for_tritons_onnx_runtime_the_graph_can_be_fp16(case, report):
    half = case.run("half", target="onnxruntime", precision="fp16", max_ndcg_drift=1.0)
    record = read_record(case.root / "half" / PARITY_FILE, Parity)
    assert list(record.variants) == ["fp16"]
    found = record.variants["fp16"]
    assert 0.999 <= found.min_cosine < 1
    assert half.metrics["min_cosine_fp16"] == round(found.min_cosine, 6)
    full = read_record(case.root / "engine" / PARITY_FILE, Parity).variants["fp32"]
    assert found.megabytes < full.megabytes
    engine = read_record(case.root / "half" / ENGINE_FILE, Engine)
    assert (engine.target, engine.precision, engine.file) == ("onnxruntime", "fp16", "model.onnx")


@pytest.mark.parametrize(("target", "precision"), [("python-cpu", "fp16"), ("onnxruntime", "bf16")])
def test_a_precision_that_the_runtime_does_not_have_is_refused(case, target, precision):
    with pytest.raises(ConfigError, match=f"precision {precision} is not available for target {target}"):
        case.config(target=target, precision=precision)


def test_tensorrt_is_refused_at_once_if_it_cannot_be_built(case):
    from embedtune.export import tensorrt

    try:
        tensorrt.require_tensorrt()
    except ConfigError:
        with pytest.raises(ConfigError, match=r"cannot be built on this machine(.|\n)*export\.target=python-cpu"):
            case.run("plan", target="tensorrt", precision="fp16")
        assert not (case.root / "plan").exists()
    else:
        pytest.skip("this machine can build TensorRT engines")


def test_fewer_texts_than_the_gate_needs_are_refused(case):
    with pytest.raises(ConfigError, match=r"parity_texts"):
        case.config(parity_texts=255)


def test_a_bf16_model_is_compared_with_its_weights_in_float32(tmp_path):
    """Whatever it was measured in: bf16 vectors are less exact than the engine, and would be a poor reference."""
    case = make_export_case(tmp_path, "bf16", "bf16")
    case.run()
    record = read_record(case.root / "engine" / PARITY_FILE, Parity)
    assert record.variants["fp32"].min_cosine >= 0.999999
    rows = pq.read_table(case.root / "engine" / "reference.parquet").to_pylist()
    passages = [row for row in rows if row["kind"] == "passage"][:8]
    config, texts = case.config(), [row["text"] for row in passages]
    full, half = (
        TorchEncoder(
            case.model, config.contract, config.runtime.model_copy(update={"precision": precision})
        ).encode_passages(texts, SilentProgress())
        for precision in ("fp32", "bf16")
    )
    reference = np.array([row["vector"] for row in passages])
    np.testing.assert_allclose(reference, full, atol=1e-6)
    assert np.abs(reference - half).max() > 1e-4
