"""Drift of queries: lengths, scripts, and the distance to the release's own test queries; never a text."""

import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from embedtune.core.retrieval.corpus_sample import CorpusSample, cut, write_corpus_sample
from embedtune.serve.gateway.app import GatewayOptions
from embedtune.serve.gateway.query_drift import QueryDrift, script_of
from embedtune.serve.release.proof import Reference, read_proof, write_proof
from tests.support.gateway_server import serving
from tests.support.triton_server import Triton, options


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("How is the kiln cleaned?", "latin"),
        ("Wie wird das \u00d6l gewechselt?", "latin"),
        ("\u043a\u0430\u043a valve \u043f\u043e\u0447\u0438\u0441\u0442\u0438\u0442\u044c", "cyrillic"),
        ("\u7a91\u5982\u4f55\u6e05\u6d01", "cjk"),
        ("\u1200\u1208", "other"),  # Ethiopic
        ("4711 / 12", "none"),
        ("", "none"),
    ],
)
def test_the_script_is_that_of_most_letters(text: str, script: str) -> None:
    assert script_of(text) == script


def sample(text: str, name: str) -> float:
    (line,) = [line for line in text.splitlines() if re.match(rf"{re.escape(name)}[ ]", line)]
    return float(line.rpartition(" ")[2])


def test_queries_are_compared_with_the_middle_of_the_releases_own(tmp_path: Path) -> None:
    release = tmp_path / ("a" * 64)
    release.mkdir()
    # The middle of (1, 0, …) and (0, 1, …) is (1, 1, …) / sqrt(2): 0.7071 from both. The passage does not count.
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    write_proof(release / "proof.npz", Reference(["a", "b", "c"], ["query", "query", "passage"], vectors))
    registry = CollectorRegistry()
    drift = QueryDrift(registry)
    near, far = cut(np.array([[1, 1, 0]], dtype=np.float32), 3), np.array([[0, 0, 1]], dtype=np.float32)
    drift.observe(release, [b"near", b"far away"], np.concatenate([near, far]))
    text = generate_latest(registry).decode()
    labels = '{release="aaaaaaaaaaaaaaaa"}'
    assert sample(text, f"embedtune_gateway_query_cosine_sum{labels}") == pytest.approx(1.0)  # 1 and 0
    assert sample(text, f"embedtune_gateway_query_cosine_count{labels}") == 2
    assert sample(text, f"embedtune_gateway_query_expected_cosine{labels}") == pytest.approx(0.7071, abs=1e-4)
    assert sample(text, "embedtune_gateway_query_characters_sum") == 12
    drift.observe(release, [b"cut"], np.array([[1, 0]], dtype=np.float32))  # two dimensions of three
    text = generate_latest(registry).decode()
    assert sample(text, f"embedtune_gateway_query_cosine_sum{labels}") == pytest.approx(1.7071, abs=1e-4)


def test_a_release_without_a_proof_at_hand_has_no_distances(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    QueryDrift(registry).observe(tmp_path / "gone", [b"press"], np.ones((1, 2), dtype=np.float32))
    assert "query_cosine_count" not in generate_latest(registry).decode()


def test_only_queries_are_counted_and_no_metric_contains_a_text(triton: Triton) -> None:
    with serving(GatewayOptions(**vars(options(triton)))) as url:
        for kind, text in (("query", "the secret valve"), ("passage", "a passage")):
            body = {"model": "embedtune", "input": text, "input_type": kind}
            assert httpx.post(f"{url}/v1/embeddings", json=body).status_code == 200
        text = httpx.get(f"{url}/metrics").text
    release = triton.release
    assert sample(text, 'embedtune_gateway_query_scripts_total{script="latin"}') == 1
    assert sample(text, "embedtune_gateway_query_characters_count") == 1
    assert sample(text, f'embedtune_gateway_query_cosine_count{{release="{release.id[:16]}"}}') == 1
    assert "secret" not in text
    proof = read_proof(release.path / "proof.npz")
    queries = proof.vectors[[kind == "query" for kind in proof.kinds]]
    middle = queries.mean(axis=0) / np.linalg.norm(queries.mean(axis=0))
    expected = sample(text, f'embedtune_gateway_query_expected_cosine{{release="{release.id[:16]}"}}')
    assert expected == pytest.approx(float((queries @ middle).mean()), abs=1e-5)


def test_queries_further_from_the_corpus_than_its_own_questions_are_counted(tmp_path: Path) -> None:
    release = tmp_path / ("b" * 64)
    release.mkdir()
    passages = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32)
    write_corpus_sample(release / "corpus_sample.npz", CorpusSample(passages, (3,), (0.5,)))
    registry = CollectorRegistry()
    drift = QueryDrift(registry)
    queries = np.array([[0.6, 0, 0.8], [0.4, 0, 0.9165], [0, 0, 1]], dtype=np.float32)  # nearest: 0.6, 0.4, 0
    drift.observe(release, [b"about it", b"hardly", b"not at all"], queries)
    drift.observe(release, [b"of a size that is not known"], np.ones((1, 2), dtype=np.float32))
    text = generate_latest(registry).decode()
    assert sample(text, 'embedtune_gateway_query_far_total{release="bbbbbbbbbbbbbbbb"}') == 2
