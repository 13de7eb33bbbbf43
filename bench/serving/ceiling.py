"""Measures the most that this machine can do: ONNX Runtime in one process on all cores, texts sorted by length.

No server can do better with the same graph, since none knows its texts in advance. Several batch sizes are tried:
the most texts per second, and the most texts per CPU second, are the ceilings.
"""

import argparse
import json
import time
from pathlib import Path

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.onnx import OnnxEncoder
from embedtune.core.progress import SilentProgress

BATCHES = (1, 4, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", type=Path)
    parser.add_argument("texts", type=Path, help="JSON list of strings")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration per batch size")
    options = parser.parse_args()
    texts = json.loads(options.texts.read_text())
    rates, frugal = [], []
    for batch in BATCHES:
        encoder = OnnxEncoder(options.engine, RuntimeSettings(device="cpu", encode_batch_size=batch))
        encoder.encode_passages(texts[:32], SilentProgress())
        count, start, cpu = 0, time.perf_counter(), time.process_time()
        while count == 0 or time.perf_counter() - start < options.seconds:
            encoder.encode_passages(texts, SilentProgress())
            count += len(texts)
        rates.append(count / (time.perf_counter() - start))
        frugal.append(count / (time.process_time() - cpu))
    print(json.dumps({"rate": max(rates), "per_cpu_s": max(frugal)}))


if __name__ == "__main__":
    main()
