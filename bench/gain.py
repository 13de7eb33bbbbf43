"""Trains recipes on fixed questions and measures each on questions that people asked.

    python bench/gain.py --work GAIN --collection handbook --collection cranfield=DIR --base all-minilm-l6 \\
      --base gte-small=MODEL --recipe mined-2e-5 --recipe batch-1e-4 --seeds 3


A collection is `handbook`, the demo's, or a directory with corpus.jsonl, queries.jsonl and qrels/test.tsv of
people's questions, and questions.jsonl: a model's questions, one JSON object each with `question` and
`corpus_id`, of which train, dev and test are made. A base is one of presets/bases, with the directory of its
weights where there is no hub.

What was measured is kept in GAIN as JSON and not measured again, so that the command can be interrupted, and asked
for more. The table has one row per recipe: the difference to the untouched base, averaged over the seeds, with its
95 % interval (questions by family; the spread between seeds is part of it).
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gaining.question_sets import Collection, prepare
from gaining.recipes import RECIPES, SHARES
from gaining.table import table
from gaining.training import Task, by_question, depth

from embedtune import api
from embedtune.core.config.load import load_config
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.progress import SilentProgress
from embedtune.evaluate.hybrid import fused_run
from embedtune.evaluate.retrieve import dense_run, lexical_run

FIRST_SEED = 42


def untouched(collection: Collection, preset: str, settings: Sequence[str], result: Path) -> None:
    """Measure the base model and BM25."""
    if result.exists():
        return
    people = collection.people
    context = api.open_context(collection.work, load_config(preset, settings))
    config = context.config
    base = resolve_base(config.contract, config.base, context.cache, config.storage, context.secrets)
    encoder = TorchEncoder(base, config.contract, config.runtime, context.cache / "embeddings")
    dense = dense_run(encoder, people, depth(people), "cpu", SilentProgress())
    lexical = lexical_run(people, depth(people))
    runs = {"base": dense, "bm25": lexical, "base + bm25": fused_run(dense, lexical)}
    result.parent.mkdir(parents=True, exist_ok=True)
    draft = result.with_suffix(".draft")
    draft.write_text(json.dumps({name: by_question(run, people) for name, run in runs.items()}, indent=1))
    draft.replace(result)


def trained(task: Task) -> None:
    """Train in a process of its own, unless that was done."""
    if Path(task.result).exists():
        return
    file = Path(task.result).with_suffix(".task")
    file.write_text(json.dumps(asdict(task)))
    subprocess.run([sys.executable, str(Path(__file__).parent / "gaining" / "training.py"), str(file)], check=True)
    file.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--collection", action="append", required=True, metavar="NAME[=DIR]")
    parser.add_argument("--base", action="append", required=True, metavar="NAME[=MODEL]")
    parser.add_argument("--recipe", action="append", choices=list(RECIPES), default=[])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, action="append", help=f"of the base's weights; default: {SHARES}")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    options = parser.parse_args()
    for given in options.base:
        base, _, weights = given.partition("=")
        settings = [f"runtime.precision={options.precision}"]
        settings += [f"contract.base_model={Path(weights).resolve()}"] if weights else []
        for one in options.collection:
            name, _, source = one.partition("=")
            work = options.work.resolve() / name / f"{base}-{options.precision}"
            collection = prepare(name, Path(source).resolve() if source else None, base, settings, work)
            results = work / "results"
            untouched(collection, f"minilm+{base}", settings, results / "base.json")
            for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
                for recipe in options.recipe:
                    trained(
                        Task(
                            name,
                            str(work / "dataset"),
                            str(work / "triplets"),
                            str(collection.questions),
                            f"minilm+{base}",
                            [*settings, *RECIPES[recipe]],
                            seed,
                            options.share or SHARES,
                            str(results / f"{recipe}-{seed}.json"),
                        )
                    )
                    print("\n".join(table(name, base, results, collection.people)), flush=True)


if __name__ == "__main__":
    main()
