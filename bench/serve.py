"""Measures requests per second and latency of the served model and of other servers, in one run on one machine.

Each request has one text of 16 to 400 words; each of N clients waits for its answer before it sends the next one.
Servers, clients and the ceiling share the same cores, so that requests per second depend on the clients' work too;
tokens per CPU second of the server do not. All servers are started first and are idle while one is
measured; every round measures all systems, so that a slow minute of the machine affects all of them. fp32 is
compared with fp32; int8 has its own row. The table shows medians over the rounds.

    embedtune export --model MODEL --dataset DATASET --output ENGINE --preset demo-cpu
    embedtune export --model MODEL --dataset DATASET --output INT8 --preset demo-cpu --set export.precision=int8
    python bench/serve.py --model MODEL --dataset DATASET --engine ENGINE --int8 INT8

--infinity VENV adds infinity-emb from a separate virtual environment, created with
`pip install infinity-emb[torch,optimum,server]`. Use --seconds 3 --rounds 1 for a quick look.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from serving.peers import add_graph, classic_copy, infinity, plain
from serving.systems import System, gateway, triton
from transformers import AutoTokenizer

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.config.serve import ServeSettings
from embedtune.core.contract import load_contract
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.progress import SilentProgress
from embedtune.core.retrieval.beir import read_records

CLIENTS = (1, 8, 64)
TEXTS, LEAST_WORDS, MOST_WORDS = 512, 16, 400
CHECKED = 8  # answers of each system that are compared with PyTorch's vectors
HERE = Path(__file__).parent / "serving"
CEILING = "ceiling: ONNX Runtime alone"
Cell = tuple[str, int]


def make_texts(dataset: Path, count: int) -> list[str]:
    """Return texts from the corpus with 16 to 400 words, all lengths equally likely."""
    source = random.Random(42)
    passages = [record.text for record in read_records(dataset / "corpus.jsonl")]
    source.shuffle(passages)
    words = " ".join(passages).split()
    texts = []
    for _ in range(count):
        length, start = source.randint(LEAST_WORDS, MOST_WORDS), source.randrange(len(words) - MOST_WORDS)
        texts.append(" ".join(words[start : start + length]))
    return texts


def start_systems(stack: ExitStack, options: argparse.Namespace, folder: Path) -> list[System]:
    """Start the systems to compare; with --only, those whose name contains its value."""
    settings = ServeSettings(**json.loads(options.settings))
    ours = stack.enter_context(triton("Triton, gRPC", options.engine, settings, folder / "fp32"))
    systems = [ours]
    others = {
        "gateway, HTTP": lambda name: gateway(name, ours, folder),
        "sentence-transformers + FastAPI": lambda name: plain(name, options.model, folder),
    }
    if options.infinity:
        others |= {
            "infinity-emb, PyTorch": lambda name: infinity(name, options.infinity, folder / "torch", "torch"),
            "infinity-emb, ONNX": lambda name: infinity(name, options.infinity, folder / "onnx", "optimum"),
        }
        classic_copy(options.model, folder / "torch")
        classic_copy(options.model, folder / "onnx")
        add_graph(options.infinity, folder / "onnx")
    if options.int8:
        others["Triton int8, gRPC"] = lambda name: triton(name, options.int8, settings, folder / "int8")
    systems += [stack.enter_context(start(name)) for name, start in others.items() if options.only in name]
    return [system for system in systems if options.only in system.name]


def ask(system: System, texts: Path, options: argparse.Namespace, *more: str) -> object:
    """Run the load generator in a separate process and return its parsed output."""
    dimension = str(load_contract(options.engine).dimensions[0])
    command = [sys.executable, "-m", "serving.load", system.kind, str(system.port), str(texts)]
    command += ["--dimension", dimension, *more]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent)
    if done.returncode:
        sys.exit(f"{system.name} failed under load:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def check_vectors(systems: Sequence[System], texts: Path, options: argparse.Namespace) -> None:
    """Print how close each system's answers are to the model's own vectors: all must serve the same model."""
    encoder = TorchEncoder(options.model, load_contract(options.model), RuntimeSettings(device="cpu"))
    expected = encoder.encode_passages(json.loads(texts.read_text())[:CHECKED], SilentProgress())
    for system in systems:
        got = np.array(ask(system, texts, options, "--vectors", str(CHECKED)), dtype=np.float32)
        least = float((got * expected).sum(axis=1).min())
        print(f"{system.name}: minimum cosine to PyTorch {least:.5f}", flush=True)
        if least < (0.95 if "int8" in system.name else 0.999):
            sys.exit(f"{system.name} does not return the model's vectors")


def idle_cores(seconds: float = 3.0) -> float:
    """Return how many cores of this machine are busy while no requests are sent; should be about 0."""

    def busy() -> int:
        user, nice, system, _, _, irq, soft, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
        return user + nice + system + irq + soft + steal

    before = busy()
    time.sleep(seconds)
    return (busy() - before) / os.sysconf("SC_CLK_TCK") / seconds


def run_ceiling(texts: Path, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, str(HERE / "ceiling.py"), str(options.engine), str(texts)]
    command += ["--seconds", str(options.seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def print_table(runs: dict[Cell, list[dict[str, float]]], ceilings: Sequence[dict[str, float]]) -> None:
    """Print the medians over the rounds, both rates relative to the ceilings, and the rate of every round."""
    most = {key: statistics.median(found[key] for found in ceilings) for key in ceilings[0]}
    print(
        f"{'':32}{'clients':>8}{'req/s':>8}{'p50 ms':>8}{'p99 ms':>8}{'ceiling':>8}{'tok/CPU s':>11}{'ceiling':>8}"
        f"{'client':>8}  req/s by round"
    )
    for (name, clients), found in runs.items():
        middle = {key: statistics.median(run[key] for run in found) for key in found[0]}
        rounds = " ".join(f"{run['rate']:.1f}" for run in found)
        frugal = middle["tokens_per_cpu_s"]
        print(
            f"{name:32}{clients:>8}{middle['rate']:>8.1f}{middle['p50']:>8.0f}{middle['p99']:>8.0f}"
            f"{middle['rate'] / most['rate']:>8.0%}{frugal:>11.0f}"
            f"{frugal / most['tokens_per_cpu_s']:>8.0%}{middle['client_cores']:>8.2f}  {rounds}"
        )
    rounds = " ".join(f"{found['rate']:.1f}" for found in ceilings)
    print(f"{CEILING:32}{'':>8}{most['rate']:>8.1f}{'':>24}{most['tokens_per_cpu_s']:>11.0f}{'':>16}  {rounds}")


def summary(answer: object, tokens: Sequence[int]) -> dict[str, float]:
    """Return the figures of one measurement.

    Args:
        answer: What load.py printed.
        tokens: How many the model reads of each text.
    """
    assert isinstance(answer, dict)
    milliseconds = np.array(answer["seconds"]) * 1000
    p50, p99 = np.percentile(milliseconds, [50, 99]).tolist() if len(milliseconds) else (float("nan"),) * 2
    return {
        "rate": len(milliseconds) / answer["elapsed"],
        "p50": p50,
        "p99": p99,
        "client_cores": answer["client_cores"],
        "tokens_per_cpu_s": sum(tokens[number] for number in answer["answered"]) / answer["server_cpu_s"],
    }


def read_tokens(model: Path, texts: Sequence[str]) -> list[int]:
    """Return how many tokens the model reads of each text."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    length = load_contract(model).max_length
    return [len(found) for found in tokenizer(list(texts), truncation=True, max_length=length)["input_ids"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--engine", type=Path, required=True, help="fp32, target python-cpu")
    parser.add_argument("--int8", type=Path, help="the same model's int8 engine")
    parser.add_argument("--infinity", type=Path, help="virtual environment that has infinity-emb")
    parser.add_argument("--seconds", type=float, default=15.0, help="duration of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--settings", default="{}", help="settings of the section `serve` as JSON")
    parser.add_argument("--only", default="", help="measure only systems whose name contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        texts = Path(name) / "texts.json"
        made = make_texts(options.dataset, TEXTS)
        texts.write_text(json.dumps(made))
        tokens = read_tokens(options.model, made)
        systems = start_systems(stack, options, Path(name))
        check_vectors(systems, texts, options)
        print(f"{len(os.sched_getaffinity(0))} cores for servers and clients; busy while idle: {idle_cores():.2f}")
        runs: dict[Cell, list[dict[str, float]]] = {(s.name, count): [] for s in systems for count in CLIENTS}
        ceilings = []
        for _ in range(options.rounds):
            for count in CLIENTS:
                for system in systems:
                    more = ["--clients", str(count), "--seconds", str(options.seconds)]
                    more += [f"--server={process}" for process in system.processes]
                    runs[system.name, count].append(summary(ask(system, texts, options, *more), tokens))
            found = run_ceiling(texts, options)
            found["tokens_per_cpu_s"] = found.pop("per_cpu_s") * statistics.mean(tokens)
            ceilings.append(found)
        print_table(runs, ceilings)


if __name__ == "__main__":
    main()
