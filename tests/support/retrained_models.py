"""Tiny models of which each finds more than the one before: without training, the better one really wins."""

import random
from pathlib import Path

from embedtune.core.artifacts import write_artifact
from embedtune.core.contract import CONTRACT_FILE, EncoderContract
from embedtune.core.retrieval.beir import SPLITS, Record, write_qrels, write_records
from tests.support.context import provenance
from tests.support.tiny_model import make_tiny_model

QUESTIONS = 100
WORDS = (  # noqa: SIM905 - a list of literals is harder to read
    "press kiln drum valve pump seal hoist chain rope cutter knife pin belt brine water steam gas oil grease "
    "alarm code limit torque pressure temperature speed time hour day shift grade lot tag store dry wash cut pack "
    "stop"
).split()


def write_dataset(path: Path) -> Path:
    """Write a dataset artifact: each question has words of its passage, in another order."""
    source = random.Random(0)
    passages = [source.sample(WORDS, 8) for _ in range(QUESTIONS)]
    questions = [source.sample(words, 5) for words in passages]
    qrels = {f"q{n}": {f"p{n}": 1} for n in range(QUESTIONS)}
    with write_artifact(path, "dataset", provenance()) as draft:
        write_records(
            draft.path / "corpus.jsonl", [Record(f"p{n}", " ".join(words)) for n, words in enumerate(passages)]
        )
        write_records(
            draft.path / "queries.jsonl",
            [Record(f"q{n}", " ".join(words), {"hops": 1}) for n, words in enumerate(questions)],
        )
        for split in SPLITS:
            write_qrels(draft.path / "qrels" / f"{split}.tsv", qrels if split == "test" else {})
        (draft.path / "split.json").write_text("{}")
        draft.counts = {"passages": QUESTIONS}
    return path


def make_distracted_model(path: Path, distraction: float) -> Path:
    """Write a model whose vector of a text is the mean of its words', disturbed by their places in the text.

    Args:
        path: Directory to write the model to.
        distraction: Weight of the places; at 0 the order of words plays no part.
    """
    import torch
    from transformers import BertModel

    make_tiny_model(path)
    model = BertModel.from_pretrained(path)
    with torch.no_grad():
        model.embeddings.position_embeddings.weight.mul_(distraction)
        for layer in model.encoder.layer:  # what its layers add is random: little of it
            for added in (layer.attention.output.dense, layer.output.dense):
                added.weight.mul_(0.05)
    model.save_pretrained(path, safe_serialization=True)
    return path


def write_model(path: Path, contract: EncoderContract, distraction: float) -> Path:
    """Write a model artifact, as train would."""
    with write_artifact(path, "model", provenance(contract=contract)) as draft:
        make_distracted_model(draft.path, distraction)
        contract.save(draft.path)
        assert (draft.path / CONTRACT_FILE).is_file()
        (draft.path / "modules.json").write_text("[]")
        (draft.path / "training.json").write_text("{}")
    return path
