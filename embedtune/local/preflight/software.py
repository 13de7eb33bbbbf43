"""The packages and programs that stages import or start, which the base installation may lack."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from embedtune.core.config.config import Config
from embedtune.core.errors import ConfigError
from embedtune.local.preflight.finding import Finding, IntendedRun


@dataclass(frozen=True)
class Needed:
    """Modules that a stage needs under some settings.

    Args:
        stage: The stage.
        modules: Names by which they are imported.
        install: Command that installs them.
        why: What needs them.
        when: Whether the settings need them.
    """

    stage: str
    modules: tuple[str, ...]
    install: str
    why: str
    when: Callable[[Config], bool] = lambda config: True


NEEDED = (
    Needed(
        "generate",
        ("presidio_analyzer",),
        "pip install 'embedtune[privacy]'",
        "generate.mask",
        lambda config: config.generate.mask is not None,
    ),
    Needed("export", ("onnx", "onnxruntime", "onnxscript"), "pip install 'embedtune[export]'", "export"),
    Needed(
        "deploy",
        ("tritonclient", "fastapi", "uvicorn", "msgspec", "prometheus_client"),
        "pip install 'embedtune[serve]'",
        "deploy",
    ),
    Needed(
        "deploy",
        ("cryptography",),
        "pip install 'embedtune[serve]'",
        "release.signing_key",
        lambda config: config.release.signing_key is not None,
    ),
    Needed(
        "train",
        ("flash_attn",),
        "pip install flash-attn",
        "runtime.attention",
        lambda config: config.runtime.attention == "flash_attention_2",
    ),
)


def check_software(run: IntendedRun) -> Iterator[Finding]:
    """Look for the modules and programs of the stages.

    Raises:
        ConfigError: Something is not installed.
        InputError: Triton is to run here, and this is no Linux.
    """
    lacking = [
        (needed, missing)
        for needed in NEEDED
        if needed.stage in run.stages and needed.when(run.config) and (missing := _missing(needed.modules))
    ]
    if lacking:
        raise ConfigError(
            "packages that this run needs are not installed",
            got="; ".join(f"{', '.join(missing)} (for {needed.why})" for needed, missing in lacking),
            fix="; ".join(dict.fromkeys(needed.install for needed, _ in lacking)),
        )
    config = run.config
    if "export" in run.stages and config.export.target == "tensorrt":
        from embedtune.export.tensorrt import require_tensorrt

        require_tensorrt()
    if "deploy" in run.stages and config.deploy.target == "local":
        from embedtune.serve.triton.installation import is_installed, require_linux

        require_linux()
        if not is_installed():
            yield Finding(
                "note", "software", "there is no tritonserver here", "deploy installs one (500 MB, by pip)"
            )


def _missing(modules: tuple[str, ...]) -> list[str]:
    return [name for name in modules if importlib.util.find_spec(name) is None]
