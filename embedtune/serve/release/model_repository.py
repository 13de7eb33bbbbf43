"""A server's model repository: for each loaded release the endpoint model and, where Triton runs it, the encoder.

The release is data; the configuration and the code that Triton executes come from here.
"""

import os
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from embedtune.core.config.serve import ServeSettings
from embedtune.core.contract import CONTRACT_FILE
from embedtune.core.encoders.onnx import INPUTS, TOKENIZER_FILE
from embedtune.serve.release.config_pbtxt import (
    WARMUP_FILE,
    WARMUP_TOKENS,
    encoder_config,
    encoder_name,
    endpoint_config,
    live_config,
    warmup_rows,
)
from embedtune.serve.release.record import PROOF_FILE, Release

WARMUP_TEXT = b"a text that is answered before the model counts as ready"
IMPORTED = ("triton_runners.py", "triton_proof.py")  # by triton_model.py
WEIGHTS = ("model.onnx", "model.onnx.data", "model.plan")


def write_models(
    release: Release, name: str, repository: Path, *, cache: bool = False, gpus: int = 1
) -> list[str]:
    """Write the models of a release into a model repository and return their names, in the order to load them.

    Args:
        release: The release.
        name: Name of its endpoint model in this repository.
        repository: The model repository.
        cache: Whether the server has a response cache that the endpoint model may use.
        gpus: How many the server has.
    """
    settings = release.record.serve
    version = repository / name / "1"
    version.mkdir(parents=True)
    for code, copy in (("triton_model.py", "model.py"), *((name, name) for name in IMPORTED)):
        shutil.copyfile(Path(__file__).with_name(code), version / copy)
    for file in (TOKENIZER_FILE, CONTRACT_FILE):
        _link(release.path / file, version / file)
    (repository / name / "config.pbtxt").write_text(
        endpoint_config(release.target, settings, name, release.record.proving.min_cosine, cache, gpus).render()
    )
    if release.target == "python-cpu":
        _link_weights(release, version)
        _link(release.path / PROOF_FILE, version / PROOF_FILE)
        _write_endpoint_warmup(repository / name / "warmup")
        return [name]
    encoder = repository / encoder_name(name)
    (encoder / "1").mkdir(parents=True)
    _link_weights(release, encoder / "1")
    _write_encoder_warmup(encoder / "warmup", warmup_rows(settings), release.record.hidden)
    (encoder / "config.pbtxt").write_text(encoder_config(release.target, settings, name).render())
    return [encoder_name(name), name]


def write_live_model(settings: ServeSettings, serving: Path, repository: Path, gpus: int = 1) -> bool:
    """Write the model that passes requests on to the live release; return whether it was new or changed.

    Args:
        settings: Those of the live release.
        serving: The file that says which release is live at any moment.
        repository: The model repository.
        gpus: How many the server has.
    """
    config, model = live_config(settings, serving, gpus).render(), repository / settings.model_name
    file, version = model / "config.pbtxt", model / "1"
    if file.is_file() and file.read_text() == config:
        return False
    version.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("triton_live.py"), version / "model.py")
    file.write_text(config)
    return True


def remove_models(name: str, repository: Path) -> None:
    """Remove the models that `write_models` wrote under a name."""
    for folder in (name, encoder_name(name)):
        shutil.rmtree(repository / folder, ignore_errors=True)


def _link_weights(release: Release, version: Path) -> None:
    for name in WEIGHTS:
        if name in release.record.files:
            _link(release.path / name, version / name)


def _link(source: Path, target: Path) -> None:
    # Not a symbolic link: ONNX Runtime accepts weights next to a graph only in the same real folder.
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _write_endpoint_warmup(folder: Path) -> None:
    """Write the text of the warm-up request, in Triton's string format: its length in 4 bytes, then the text."""
    folder.mkdir()
    (folder / WARMUP_FILE).write_bytes(struct.pack("<I", len(WARMUP_TEXT)) + WARMUP_TEXT)


def _write_encoder_warmup(folder: Path, rows: Iterable[int], dimension: int) -> None:
    """Write ids, mask and dimensions of the warm-up requests: a mask of zeros would give no vector."""
    folder.mkdir()
    for count in rows:
        ones, sizes = np.ones((count, WARMUP_TOKENS), np.int64), np.full(count, dimension, np.int64)
        for name, value in zip(INPUTS, (ones, ones, sizes), strict=True):
            (folder / f"{name}_{count}").write_bytes(value.tobytes())
