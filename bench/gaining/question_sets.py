"""The collections of bench/gain.py: fixed questions to train on, and people's questions to be measured with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embedtune import api
from embedtune.core.config.load import load_config
from embedtune.core.progress import SilentProgress
from embedtune.core.retrieval.beir import Qrels, Record, RetrievalSet, read_records, write_qrels, write_records
from embedtune.evaluate.sets import load_set
from embedtune.sample import HANDBOOK, build_handwritten_set


@dataclass(frozen=True)
class Collection:
    """A collection, ready to be mined and trained on.

    Args:
        name: Its name.
        work: Its work directory, with the artifacts `dataset` and `triplets`.
        questions: Directory of people's questions.
        people: The same, and the whole corpus.
    """

    name: str
    work: Path
    questions: Path
    people: RetrievalSet


def prepare(name: str, source: Path | None, base: str, settings: Sequence[str], work: Path) -> Collection:
    """Return a collection, with hard negatives mined; what exists in `work` is used again.

    Args:
        name: Its name.
        source: Directory with corpus.jsonl, queries.jsonl, qrels/test.tsv and questions.jsonl, the generated
            questions, each with the id of its passage; None: the handbook.
        base: Name of the base model.
        settings: Its further settings.
        work: Directory to work in.
    """
    if source is None:
        config = load_config(f"demo-cpu+{base}", settings)
        api.run(HANDBOOK, work, config, last="mine")
        people = build_handwritten_set(work)
    else:
        config = load_config(f"minilm+{base}", settings)
        labelled = _labelled(source, work / "labelled")
        api.run(None, work, config, first="mine", last="mine", dataset=labelled)
        people = source
    return Collection(name, work, people, load_set(name, people, config.ingest, SilentProgress()))


def _labelled(source: Path, folder: Path) -> Path:
    """Write the generated questions of a collection as labelled data; dev and test are taken from them."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in (source / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    questions = [Record(f"g{number}", line["question"]) for number, line in enumerate(lines)]
    qrels: Qrels = {f"g{number}": {line["corpus_id"]: 1} for number, line in enumerate(lines)}
    write_records(folder / "corpus.jsonl", read_records(source / "corpus.jsonl"))
    write_records(folder / "queries.jsonl", questions)
    write_qrels(folder / "qrels" / "train.tsv", qrels)
    return folder
