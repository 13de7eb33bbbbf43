"""An OpenAI-compatible LLM server on this machine: llama.cpp, installed by the extra `local-llm`."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from embedtune.core.errors import InputError

CONTEXT_TOKENS = 4096  # enough for a prompt with three passages and its reply


def serve(model: Path, port: int, parallel: int, stop: threading.Event, started: Callable[[], None]) -> None:
    """Serve a model until `stop` is set; JSON schemas are enforced by a grammar.

    Args:
        model: A GGUF file; the model is named like the file, without its suffix.
        port: Port on 127.0.0.1.
        parallel: Number of requests answered at the same time; each has its own context.
        stop: Set it to stop the server.
        started: Called when the server listens.

    Raises:
        InputError: The extra is not installed, or the file does not exist.
    """
    try:
        import xllamacpp
    except ImportError as error:
        raise InputError("xllamacpp is not installed", fix="pip install 'embedtune[local-llm]'") from error
    if not model.is_file():
        raise InputError("the model file does not exist", got=str(model), expected="a GGUF file")
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    # In some releases these two are strings, in others collections.
    params.model_alias = model.stem if isinstance(params.model_alias, str) else [model.stem]
    params.hostnames = "127.0.0.1" if isinstance(params.hostnames, str) else ["127.0.0.1"]
    params.port = port
    params.n_parallel = parallel
    params.n_ctx = CONTEXT_TOKENS * parallel
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count() or 1
    params.use_jinja = True
    server = xllamacpp.Server(params)
    started()
    stop.wait()
    del server
