"""The vectors of a real Triton: those of the checkpoint, whatever requests it merges."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tritonclient.grpc import InferenceServerClient

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.config.serve import ServeSettings
from embedtune.core.contract import load_contract
from embedtune.core.encoders.onnx import OnnxEncoder
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.remote import TritonEncoder
from embedtune.core.progress import SilentProgress
from embedtune.serve.release.build import build_release
from embedtune.serve.triton.installation import Installation
from tests.support.architectures import ARCHITECTURES
from tests.support.tiny_engine import make_tiny_engine
from tests.support.triton_endpoint import embed, inputs, metric
from tests.support.triton_server import Triton, asking, running

TEXTS = ["press", "kiln alarm", "the belt of the drum is worn " * 3, "torque pressure oil " * 40]
CPU = RuntimeSettings(device="cpu")


@pytest.fixture
def client(triton: Triton) -> Iterator[InferenceServerClient]:
    with asking(triton) as client:
        yield client


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


@pytest.mark.parametrize("kind", ["query", "passage"])
def test_the_vectors_are_those_of_pytorch_and_of_onnx_runtime(triton: Triton, engine: Path, kind: str) -> None:
    contract = load_contract(engine)
    served = TritonEncoder(f"127.0.0.1:{triton.grpc_port}", contract, "embedtune")
    torch = TorchEncoder(engine.with_name("engine-base"), contract, CPU)
    method = {"query": "encode_queries", "passage": "encode_passages"}[kind]
    got, trained, exported = (
        getattr(encoder, method)(TEXTS, SilentProgress()) for encoder in (served, torch, OnnxEncoder(engine, CPU))
    )
    assert cosines(got, trained).min() > 0.9999
    assert cosines(got, exported).min() > 0.9999
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)


def test_a_bidirectional_decoder_with_dense_layers_is_served_with_its_own_vectors(
    installation: Installation, tmp_path: Path
) -> None:
    gemma = ARCHITECTURES["embeddinggemma"]
    engine = make_tiny_engine(tmp_path / "engine", make_base=lambda path, _seed: gemma.base(path))
    release = build_release(engine, tmp_path / "release", ServeSettings())
    with running(release, installation, tmp_path / "log") as server:
        served = TritonEncoder(f"127.0.0.1:{server.grpc_port}", release.contract, release.model_name)
        got = served.encode_passages(TEXTS, SilentProgress())
    torch = TorchEncoder(tmp_path / "engine-base", release.contract, CPU)
    assert [type(module).__name__ for module in torch.model].count("Dense") == 2
    assert cosines(got, torch.encode_passages(TEXTS, SilentProgress())).min() > 0.9999


def test_the_vector_of_every_reference_text_equals_the_trained_one(triton: Triton) -> None:
    release = triton.release
    served = TritonEncoder(f"127.0.0.1:{triton.grpc_port}", release.contract, release.model_name)
    table = pq.read_table(release.path / "reference.parquet").to_pylist()
    for kind, encode in (("query", served.encode_queries), ("passage", served.encode_passages)):
        wanted = [row for row in table if row["kind"] == kind]
        got = encode([row["text"] for row in wanted], SilentProgress())
        assert len(wanted) == 128
        assert cosines(got, np.array([row["vector"] for row in wanted])).min() > 0.9999


def test_a_text_without_an_input_type_is_a_passage_and_a_query_differs(client: InferenceServerClient) -> None:
    plain = embed(client, ["worn pin"])
    np.testing.assert_array_equal(plain, embed(client, ["worn pin"], ["passage"]))
    assert cosines(plain, embed(client, ["worn pin"], ["query"]))[0] < 0.99


def test_different_dimensions_in_one_request_are_truncated_then_normalised(client: InferenceServerClient) -> None:
    full = embed(client, ["worn pin"] * 2)
    mixed = embed(client, ["worn pin"] * 2, ["passage"] * 2, [32, 16])
    short = full[1, :16] / np.linalg.norm(full[1, :16])
    np.testing.assert_allclose(mixed, np.stack([full[0], np.pad(short, (0, 16))]), atol=1e-6)
    assert embed(client, ["worn pin"], None, [16]).shape == (1, 16)


def test_tokens_are_counted_with_prefix_and_after_truncation(client: InferenceServerClient) -> None:
    reply = client.infer("embedtune", inputs(["press", "press " * 500], ["query", "passage"]))
    # [CLS] query : press [SEP]; the tiny tokenizer has no piece "query": it needs qu, ##er, ##y.
    tokens = reply.as_numpy("TOKENS")
    assert tokens.shape == (2, 1)
    assert tokens[1, 0] == 64
    assert 5 <= tokens[0, 0] <= 9


def test_text_beyond_the_truncation_changes_nothing(client: InferenceServerClient) -> None:
    np.testing.assert_allclose(
        embed(client, ["press " * 100 + "drum"]), embed(client, ["press " * 100 + "kiln"]), atol=1e-6
    )


def test_concurrent_requests_of_different_lengths_share_batches(
    triton: Triton, client: InferenceServerClient
) -> None:
    texts = [" ".join(["press kiln drum"] * (1 + number % 20)) + f" {number}" for number in range(200)]
    alone = np.concatenate([embed(client, texts[start : start + 25]) for start in range(0, 200, 25)])
    names = ("nv_inference_count", "nv_inference_exec_count")
    before = [metric(triton.metrics_port, name, triton.model) for name in names]
    with ThreadPoolExecutor(32) as pool:
        together = np.concatenate(list(pool.map(lambda text: embed(client, [text]), texts)))
    inferences, executions = (
        metric(triton.metrics_port, name, triton.model) - old for name, old in zip(names, before, strict=True)
    )
    assert inferences == 200
    assert executions < 150
    assert cosines(together, alone).min() > 0.99999


def test_requests_with_and_without_optional_inputs_are_answered_side_by_side(
    client: InferenceServerClient,
) -> None:
    forms = [(["worn pin"],), (["worn pin"], ["query"]), (["worn pin"], None, [16]), (["pin"], ["query"], [16])]
    wanted = [embed(client, *form) for form in forms]
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda number: embed(client, *forms[number % 4]), range(80)))
    for number, vectors in enumerate(got):
        np.testing.assert_allclose(vectors, wanted[number % 4], atol=1e-6)
