"""A work directory that can be searched: a dataset and two tiny models with different random weights."""

from pathlib import Path

from embedtune.core.artifacts import write_artifact
from embedtune.core.retrieval.beir import Record, write_qrels, write_records
from tests.support.context import provenance
from tests.support.tiny_model import TINY_DIMENSION, make_tiny_model, tiny_contract

MARKUP = "Alarm <b>guide</b> & codes\n<img src=x onerror=\"document.title='owned'\"> stop the press"
PARTS = ("press", "kiln", "drum", "valve", "pump", "seal", "hoist", "chain")
VERBS = ("check", "clean", "open", "close", "read")
PASSAGES = [
    Record("markup", MARKUP),
    *(
        Record(
            f"p{place}",
            f"The {part} book > Chapter {place}\n{verb} the {part} at {place} bar, then {verb} it again",
        )
        for place, (verb, part) in enumerate((verb, part) for verb in VERBS for part in PARTS)
    ),
]
QUERIES = [
    Record("train", "a question that training saw"),
    Record("long", "when the press says that " + "the valve is hot " * 6 + "what then?"),
    Record("short", "how do I clean the kiln?"),
    Record("other", "hoist chain"),
]


def make_searchable_work(work: Path, passages: list[Record] = PASSAGES) -> Path:
    """Write `dataset/` and `model/` into `work`; the base model is in `base/`."""
    contract = tiny_contract(make_tiny_model(work / "base", seed=1), (TINY_DIMENSION, 16))
    made_from = provenance()
    with write_artifact(work / "dataset", "dataset", made_from) as draft:
        write_records(draft.path / "corpus.jsonl", passages)
        write_records(draft.path / "queries.jsonl", QUERIES)
        (draft.path / "split.json").write_text("{}")
        (draft.path / "qrels").mkdir()
        asked = {"train": ["train"], "dev": [], "test": ["long", "short", "other"]}
        for split, names in asked.items():
            write_qrels(draft.path / "qrels" / f"{split}.tsv", {name: {"markup": 1} for name in names})
    with write_artifact(work / "model", "model", made_from) as draft:
        make_tiny_model(draft.path, seed=0)  # the same model that `make_tiny_engine` exports
        contract.save(draft.path)
        for name in ("modules.json", "training.json"):
            (draft.path / name).write_text("{}")
    return work
