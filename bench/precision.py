"""Compares float32 with bf16 on this machine: nDCG@10 of the base model, encoding, and a training step.

    python bench/precision.py --questions SET --texts 24 --rounds 3

SET is a BEIR directory, such as `embedtune eval-set` writes. Both precisions take turns on the same texts; the
ratios are medians of CPU time fp32 / bf16, which a busy machine disturbs less than wall-clock time. A training
step is collation, forward, backward and AdamW on 8 rows with one negative each (passages of 180 words, at most 256
tokens).
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from train_step import BASE, CONTRACT, _part, _update, fresh_model, make_rows

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.precision import autocast
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.progress import SilentProgress
from embedtune.core.retrieval.beir import read_retrieval_set
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.retrieve import dense_run
from embedtune.train.collate import Collator
from embedtune.train.loss_in_batch import InBatchLoss

METRIC = "ndcg@10"
RUNTIMES = {name: RuntimeSettings(device="cpu", precision=name) for name in ("fp32", "bf16")}


def training_step(runtime: RuntimeSettings) -> Callable[[list[dict]], float]:
    model, optimizer = fresh_model()
    loss, collate = InBatchLoss(model, 0.05, (384,), 16), Collator(model.preprocess, CONTRACT, 1, in_batch=True)

    def step(rows: list[dict]) -> float:
        batch = collate(rows)
        with autocast(runtime):
            value = loss([_part(batch, "query_"), _part(batch, "passage_")], batch["label"])
        return _update(value, optimizer)

    return step


def ratio(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median, smallest and largest ratio fp32 / bf16 of CPU time; the first round is the warm-up."""
    ratios = []
    for _ in range(rounds + 1):
        used = {}
        for name, do in work.items():
            started = time.process_time()
            do()
            used[name] = time.process_time() - started
        ratios.append(used["fp32"] / used["bf16"])
    kept = sorted(ratios[1:])
    return {"ratio": round(statistics.median(kept), 2), "low": round(kept[0], 2), "high": round(kept[-1], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, help="BEIR directory; without it nDCG is not measured")
    parser.add_argument("--texts", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    encoders = {name: TorchEncoder(BASE, CONTRACT, runtime) for name, runtime in RUNTIMES.items()}
    rows = make_rows(max(8, options.texts), 0, (180, 180), random.Random(0))
    texts = [row["positive"] for row in rows][: options.texts]
    encode = {
        name: lambda encoder=encoder: encoder.encode_passages(texts, SilentProgress())
        for name, encoder in encoders.items()
    }
    print(json.dumps({"case": "encode", **ratio(encode, options.rounds)}), flush=True)
    batch = make_rows(8, 1, (180, 180), random.Random(1))
    steps = {name: training_step(runtime) for name, runtime in RUNTIMES.items()}
    train = {name: lambda step=step: step(batch) for name, step in steps.items()}
    print(json.dumps({"case": "train", **ratio(train, options.rounds)}), flush=True)
    if options.questions is not None:
        data = read_retrieval_set(options.questions, "test")
        runs = {name: dense_run(one, data, 10, "cpu", SilentProgress()) for name, one in encoders.items()}
        result = SetResult("questions", data, runs, (10,))
        means = {name: round(result.means(name)[METRIC], 4) for name in runs}
        changed = sum(
            abs(ours[METRIC] - theirs[METRIC]) > 1e-9
            for ours, theirs in zip(result.rows("fp32"), result.rows("bf16"), strict=True)
        )
        print(json.dumps({"case": METRIC, **means, "changed": changed, "queries": len(data.queries)}), flush=True)


if __name__ == "__main__":
    main()
