"""Base models are compared untuned, on the same questions."""

import pytest
import yaml

from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.weights import parameters
from embedtune.core.errors import ConfigError, ContractError, InputError
from embedtune.core.progress import SilentProgress
from embedtune.core.retrieval.beir import read_retrieval_set
from embedtune.core.secrets import Secrets
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.retrieve import dense_run
from embedtune.local.bases import compare_bases
from embedtune.local.own_contract import config_text
from tests.support.context import context
from tests.support.evaluation_site import beir_set
from tests.support.public_forms import write_library_files
from tests.support.tiny_model import TINY_DIMENSION, make_tiny_model, tiny_contract


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    for name, seed in (("first", 0), ("second", 1)):
        base = make_tiny_model(root / name, seed=seed)
        write_library_files(base, pooling="mean", prompts={"query": "", "document": ""}, max_seq_length=48)
    (root / "first" / "README.md").write_text("---\nlicense: apache-2.0\n---\n# First\n")
    (root / "second" / "README.md").write_text("---\nlicense: [unbalanced\n---\n")
    config = Config.model_validate({"contract": tiny_contract(root / "first"), "runtime": {"device": "cpu"}})
    return root, beir_set(root / "ours"), context(config, root / "cache")


def test_each_base_gets_the_scores_of_its_own_rankings(site):
    root, ours, its_context = site
    first, second = str(root / "first"), str(root / "second")
    found = compare_bases([first, second], {"ours": ours}, its_context)

    assert (found.questions, found.families) == ({"ours": 6}, {"ours": 6})
    assert [one.name for one in found.scores] == ["bm25", first, second]
    data = read_retrieval_set(ours, "test")
    for one in found.scores[1:]:
        contract = parse_config(yaml.safe_load(config_text("minilm", one.name, None, Secrets()))).contract
        encoder = TorchEncoder(root / one.name, contract, its_context.config.runtime)
        run = dense_run(encoder, data, 10, "cpu", SilentProgress())
        expected = SetResult("ours", data, {"x": run}, (10,)).means("x")
        assert one.sets["ours"].metrics == pytest.approx(expected)
    ndcg = [one.sets["ours"].metrics["ndcg@10"] for one in found.scores]
    assert ndcg[0] == 1.0  # every query shares one word with its passage only
    assert found.scores[1].sets["ours"].difference is None
    assert found.scores[2].sets["ours"].difference.mean == pytest.approx(ndcg[2] - ndcg[1], abs=1e-6)
    assert found.scores[0].sets["ours"].difference.mean == pytest.approx(1.0 - ndcg[1], abs=1e-6)


def test_what_a_base_costs_stands_next_to_what_it_finds(site):
    root, ours, its_context = site
    found = compare_bases([str(root / "first"), str(root / "second")], {"ours": ours}, its_context)
    bm25, first, second = (one.model for one in found.scores)
    assert bm25 is None
    assert first.parameters == parameters(root / "first") > 1000
    assert (first.dimension, first.max_length) == (TINY_DIMENSION, 48)
    assert (first.licence, second.licence) == ("apache-2.0", None)
    assert first.seconds_per_passage > 0


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        ([], ConfigError, "no base model to compare"),
        (["first", "first"], ConfigError, "named twice"),
        (["./nowhere"], InputError, "does not exist"),
        (["thenlper/gte-small"], ContractError, "not pinned"),
    ],
)
def test_every_base_is_found_before_the_first_is_measured(site, names, error, words):
    root, ours, its_context = site
    names = [str(root / name) if name == "first" else name for name in names]
    cache = its_context.cache / words  # nothing is encoded, so no vector is kept
    with pytest.raises(error, match=words):
        compare_bases(names, {"ours": ours}, context(its_context.config, cache))
    assert not (cache / "embeddings").exists()
