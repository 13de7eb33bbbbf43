"""A tuned model in its base's vector space: what its queries find in an index that is not renewed yet."""

import numpy as np

from embedtune.core.artifacts import write_artifact
from embedtune.core.config.config import Config
from embedtune.core.encoders.pytorch import TorchEncoder, load_model
from embedtune.core.progress import SilentProgress
from embedtune.core.records.base import read_record
from embedtune.core.records.metrics import METRICS_FILE, Metrics
from embedtune.evaluate.old_index import OldIndex, is_aligned
from embedtune.evaluate.stage import run
from embedtune.train.align import aligned
from tests.support.context import context
from tests.support.evaluation_site import PROVENANCE, dataset_artifact, model_artifact
from tests.support.tiny_model import make_tiny_model, tiny_contract


class Named:
    """Encodes every text as one number, which says who encoded it and as what."""

    def __init__(self, number: float) -> None:
        self.fingerprint = f"model {number}"
        self._number = number

    def encode_queries(self, texts, progress):
        return np.full((len(texts), 1), self._number, dtype=np.float32)

    def encode_passages(self, texts, progress):
        return np.full((len(texts), 1), self._number + 0.5, dtype=np.float32)


class Passages:
    """Stands in for the passages that training rows name."""

    def texts(self):
        return iter(["the press stops", "oil of the kiln", "alarm code 7"])


def test_queries_are_the_tuned_models_and_passages_the_bases() -> None:
    both = OldIndex(Named(1.0), Named(2.0))
    assert both.encode_queries(["a"], SilentProgress()).tolist() == [[1.0]]
    assert both.encode_passages(["a"], SilentProgress()).tolist() == [[2.5]]
    assert both.fingerprint == "model 1.0 model 2.0"


def test_an_aligned_model_is_measured_on_the_index_of_its_base(tmp_path) -> None:
    """Here the tuned model is its base, so that the rotation is none, and both indexes are the same."""
    base = make_tiny_model(tmp_path / "base", seed=0)
    contract = tiny_contract(base)
    config = Config.model_validate(
        {"contract": contract, "evaluate": {"k": [1, 5], "interval_samples": 200}, "runtime": {"device": "cpu"}}
    )
    model = model_artifact(tmp_path / "model", contract, seed=0)
    assert not is_aligned(model, base)
    this = context(config, tmp_path / "cache")
    run(dataset_artifact(tmp_path / "dataset"), model, tmp_path / "plain", this)
    systems = read_record(tmp_path / "plain" / METRICS_FILE, Metrics).sets["synthetic"].systems
    assert "old-index" not in systems

    encoder = TorchEncoder(base, contract, config.runtime)
    tuned = load_model(base, contract, config.runtime)
    own = tmp_path / "aligned"
    with write_artifact(own, "model", PROVENANCE) as draft:
        aligned(tuned, encoder, Passages(), contract, config.runtime, SilentProgress()).save_pretrained(
            str(draft.path)
        )
        contract.save(draft.path)
        (draft.path / "training.json").write_text("{}")
    assert is_aligned(own, base)
    run(tmp_path / "dataset", own, tmp_path / "evaluation", this)
    systems = read_record(tmp_path / "evaluation" / METRICS_FILE, Metrics).sets["synthetic"].systems
    assert systems["old-index"] == systems["tuned"] == systems["base"]
