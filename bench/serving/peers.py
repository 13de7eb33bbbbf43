"""The peers: sentence-transformers behind a plain FastAPI, and infinity-emb in a virtual environment."""

import json
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from serving.systems import System, running

from embedtune.core.contract import load_contract
from embedtune.serve.triton.server import free_ports

CLASSIC = "sentence_transformers.models"
Backend = Literal["torch", "optimum"]


def plain(name: str, model: Path, folder: Path) -> AbstractContextManager[System]:
    """Run plain.py."""
    (port,) = free_ports(1)
    command = [sys.executable, str(Path(__file__).with_name("plain.py")), str(model), str(port)]
    return running(System(name, "plain", port), command, "/openapi.json", folder / "plain.log")


def infinity(name: str, home: Path, model: Path, backend: Backend) -> AbstractContextManager[System]:
    """Run infinity-emb.

    Args:
        name: Its name in the table.
        home: Its virtual environment.
        model: Directory that `classic_copy` wrote.
        backend: PyTorch, or ONNX Runtime with the graph that `optimum` exports.
    """
    (port,) = free_ports(1)
    command = [str(home / "bin" / "infinity_emb"), "v2", "--model-id", ".", "--served-model-name", "peer"]
    command += ["--engine", backend, "--device", "cpu", "--dtype", "float32", "--pooling-method", "mean"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    command += ["--no-vector-disk-cache"]  # on by default: it would answer repeated texts without the model
    system = System(name, "infinity", port)
    # Run in the model's folder: optimum finds the graph only by its bare name, and infinity passes that.
    return running(system, command, "/health", model / "log", HF_HUB_OFFLINE="1", DO_NOT_TRACK="1", PYTHONPATH="")


def classic_copy(model: Path, copy: Path) -> None:
    """Copy a model in the layout that sentence-transformers before version 6 reads, as infinity-emb does."""
    contract = load_contract(model)
    if contract.pooling != "mean" or contract.query_prefix or contract.passage_prefix:
        sys.exit("the comparison is for models with mean pooling and without prefixes")
    shutil.copytree(model, copy)
    (copy / "config_sentence_transformers.json").unlink(missing_ok=True)
    modules = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"), ("2", "2_Normalize", "Normalize")]
    _write(
        copy / "modules.json",
        [
            {"idx": place, "name": name, "path": path, "type": f"{CLASSIC}.{kind}"}
            for place, (name, path, kind) in enumerate(modules)
        ],
    )
    _write(copy / "sentence_bert_config.json", {"max_seq_length": contract.max_length, "do_lower_case": False})
    pooling = {"word_embedding_dimension": contract.dimensions[0], "pooling_mode_mean_tokens": True}
    _write(copy / "1_Pooling" / "config.json", pooling)


def add_graph(home: Path, model: Path) -> None:
    """Add optimum's ONNX file and the maximum length to a copy; without the latter this peer would do more."""
    command = [home / "bin" / "optimum-cli", "export", "onnx", "--model", model, "--library", "transformers"]
    command += ["--task", "feature-extraction"]
    done = subprocess.run([*command, model / "exported"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"optimum cannot export the model:\n{done.stderr[-2000:]}")
    (model / "exported" / "model.onnx").rename(model / "model.onnx")
    config = json.loads((model / "config.json").read_text())
    # infinity's ONNX encoder truncates at this value; the graph itself has its positions built in.
    config["max_position_embeddings"] = load_contract(model).max_length
    _write(model / "config.json", config)


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
