"""A tiny dataset and models of it, for tests of the stage evaluate."""

from pathlib import Path

from embedtune.core.artifacts import write_artifact
from embedtune.core.contract import EncoderContract
from embedtune.core.retrieval.beir import SPLITS, Record, write_qrels, write_records
from tests.support.context import provenance
from tests.support.tiny_model import make_tiny_model

PROVENANCE = provenance()
TEXTS = ["kiln steam", "pump seal", "hoist chain", "cutter knife", "drum brine", "gas oil grease"]


def beir_set(directory: Path, judged: bool = True) -> Path:
    """Write a set of six queries, each with one answer; `judged`: in its test split."""
    directory.mkdir(parents=True, exist_ok=True)
    write_records(directory / "corpus.jsonl", [Record(f"p{n}", text) for n, text in enumerate(TEXTS)])
    queries = [Record(f"q{n}", f"check the {text.split()[0]}", {"hops": 1}) for n, text in enumerate(TEXTS)]
    write_records(directory / "queries.jsonl", queries)
    qrels = {f"q{n}": {f"p{n}": 1} for n in range(len(TEXTS))}
    for split in SPLITS:
        write_qrels(directory / "qrels" / f"{split}.tsv", qrels if judged and split == "test" else {})
    return directory


def dataset_artifact(path: Path, judged: bool = True) -> Path:
    """Write the set as a dataset artifact."""
    with write_artifact(path, "dataset", PROVENANCE) as draft:
        beir_set(draft.path, judged)
        (draft.path / "split.json").write_text("{}")
    return path


def model_artifact(path: Path, contract: EncoderContract, seed: int, others: dict[int, int] | None = None) -> Path:
    """Write a tiny model; `others` gives the weights of further training seeds."""
    with write_artifact(path, "model", PROVENANCE) as draft:
        make_tiny_model(draft.path, seed)
        for name, weights in (others or {}).items():
            make_tiny_model(draft.path / "seeds" / str(name), weights)
        contract.save(draft.path)
        (draft.path / "modules.json").write_text("[]")
        (draft.path / "training.json").write_text("{}")
    return path
