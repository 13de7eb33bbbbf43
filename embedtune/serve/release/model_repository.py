"""Triton's model repository of a release: the endpoint model and, if Triton runs the encoder, that too."""

import shutil
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from embedtune.core.config.serve import ServeSettings
from embedtune.core.contract import CONTRACT_FILE
from embedtune.core.encoders.onnx import INPUTS, TOKENIZER_FILE
from embedtune.core.errors import ConfigError
from embedtune.core.records.engine import Engine
from embedtune.serve.release.config_pbtxt import (
    WARMUP_FILE,
    WARMUP_TOKENS,
    encoder_config,
    encoder_name,
    endpoint_config,
    warmup_rows,
)

WARMUP_TEXT = b"a text that is answered before the model counts as ready"


def write_repository(engine: Path, built: Engine, output: Path, settings: ServeSettings) -> None:
    """Write the model repository.

    Args:
        engine: The engine artifact's directory.
        built: Its engine.json.
        output: The repository.
        settings: Batching, limits and names.

    Raises:
        ConfigError: The engine does not accept batches as large as the settings allow.
    """
    target, name = built.target, settings.model_name
    _require_batch(built, settings)
    version = output / name / "1"
    version.mkdir(parents=True)
    shutil.copyfile(Path(__file__).with_name("triton_model.py"), version / "model.py")
    for file in (TOKENIZER_FILE, CONTRACT_FILE):
        shutil.copyfile(engine / file, version / file)
    config = endpoint_config(target, settings)
    (output / name / "config.pbtxt").write_text(config.render())
    if target == "python-cpu":
        _copy_engine(engine, built, version)
        _write_endpoint_warmup(output / name / "warmup")
        return
    encoder = output / encoder_name(settings)
    (encoder / "1").mkdir(parents=True)
    _copy_engine(engine, built, encoder / "1")
    _write_encoder_warmup(encoder / "warmup", warmup_rows(settings), built.hidden)
    (encoder / "config.pbtxt").write_text(encoder_config(target, settings).render())


def _require_batch(built: Engine, settings: ServeSettings) -> None:
    largest = built.max_batch_size
    if largest is not None and settings.max_batch_size > largest:
        raise ConfigError(
            "Triton would form larger batches than the TensorRT engine accepts",
            got=f"serve.max_batch_size={settings.max_batch_size}",
            expected=f"at most {largest}, which the engine was built for",
            fix=f"set serve.max_batch_size={largest}, or export again with a larger export.tensorrt_batch",
        )


def _copy_engine(engine: Path, built: Engine, version: Path) -> None:
    # Weights above 2 GB are in a file next to the graph, which names it.
    for name in (built.file, f"{built.file}.data"):
        if (engine / name).is_file():
            shutil.copyfile(engine / name, version / name)


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
