"""A work directory that `embedtune curve` can train on: a tiny model, and one document per machine."""

from pathlib import Path
from typing import Any

from embedtune.core.artifacts import write_artifact
from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.retrieval.beir import Record, write_qrels, write_records
from embedtune.core.stage import stage_provenance
from tests.support.tiny_model import make_tiny_model, tiny_contract

FACTS = {"pressure limit": "high torque", "oil grade": "grease lot", "start time": "first hour"}  # as asked
SPLITS = {"train": range(8), "dev": range(8, 10), "test": range(10, 18)}  # machines


def curve_config(base: Path, **train: Any) -> Config:
    """Return a configuration of two short epochs on the CPU."""
    settings = {"negatives": 1, "batch_size": 8, "epochs": 2, "learning_rate": 5e-4, "warmup_steps": 1} | train
    return parse_config(
        {
            "contract": tiny_contract(base).model_dump(),
            "mine": {"negatives": 2, "min_negatives": 1, "max_short_share": 1.0},
            "train": settings,
            "evaluate": {"interval_samples": 200},
            "runtime": {"device": "cpu"},
        }
    )


def make_curve_work(root: Path) -> tuple[Path, Path]:
    """Write a tiny base model, and a work directory with a dataset of 24 train questions about 8 documents.

    Returns:
        The work directory and the base model.
    """
    base = make_tiny_model(root / "base")
    provenance = stage_provenance("split", curve_config(base), {})
    machines = [(split, number) for split, numbers in SPLITS.items() for number in numbers]
    with write_artifact(root / "work" / "dataset", "dataset", provenance) as draft:
        passages, queries = [], []
        qrels: dict[str, dict[str, dict[str, int]]] = {split: {} for split in SPLITS}
        for split, number in machines:
            for fact, (name, asked) in enumerate(FACTS.items()):
                place = f"{number}-{fact}"
                about = {
                    "group_id": f"p{place}",
                    "family_id": f"d{number}",
                    "doc_id": f"d{number}",
                    "split": split,
                }
                text = f"the {name} of machine {number} is {7 * number + fact}"
                passages.append(Record(f"p{place}", text, {**about}))
                queries.append(Record(f"q{place}", f"{asked} {number}", {"split": split}))
                qrels[split][f"q{place}"] = {f"p{place}": 1}
        write_records(draft.path / "corpus.jsonl", passages)
        write_records(draft.path / "queries.jsonl", queries)
        for split, judged in qrels.items():
            write_qrels(draft.path / "qrels" / f"{split}.tsv", judged)
        (draft.path / "split.json").write_text("{}")
    return root / "work", base
