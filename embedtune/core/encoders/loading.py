"""What can go wrong when a checkpoint is loaded: it needs code of its own, or lacks weights."""

from pathlib import Path
from typing import Any

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.modules import read_json
from embedtune.core.encoders.precision import no_such_attention
from embedtune.core.errors import ContractError, EmbedtuneError

SHOWN = 3
TRUST = (
    "use another base model; or review its code and set contract.trust_remote_code=true with "
    "contract.revision=<the commit that you reviewed>"
)


def own_code(path: Path) -> str | None:
    """Return the class in the model's own Python code that its configuration names; None: there is none."""
    named = read_json(path / "config.json").get("auto_map")
    found = named.get("AutoModel") if isinstance(named, dict) else None
    return str(found) if found else None


def load_error(path: Path, runtime: RuntimeSettings, error: Exception) -> EmbedtuneError | None:
    """Return what users should read about a model that cannot be loaded; None: it is not known what is wrong.

    Args:
        path: Directory of the model.
        runtime: The attention that it was to be loaded with.
        error: What the library raised.
    """
    kind = read_json(path / "config.json").get("model_type")
    if "custom code" in str(error) or "trust_remote_code" in str(error):
        return ContractError(
            f"the model in {path} needs Python code of its own, which is not run",
            got=f"model_type {kind}, {own_code(path) or 'code'} in its repository",
            expected="an architecture that transformers has",
            fix=TRUST,
        )
    if "does not recognize this architecture" in str(error) or "Unrecognized model" in str(error):
        return ContractError(
            f"the installed transformers does not know the architecture of {path}",
            got=f"model_type {kind}",
            expected="an architecture that transformers has",
            fix="use another base model, or a transformers that has this one",
        )
    return None if runtime.attention == "auto" else no_such_attention(path, runtime, error)


def require_all_weights(path: Path, transformer: Any) -> None:
    """Check that a checkpoint has each weight of the architecture that it was loaded as.

    Those that it lacks are random numbers, and the library only warns. It happens where a model's own code, which
    is not run, computes something else than the architecture whose name it has.

    Args:
        path: Directory of the model.
        transformer: The loaded transformer.

    Raises:
        ContractError: Weights are missing.
    """
    # On the device "meta" nothing is read but names and shapes.
    _, report = type(transformer).from_pretrained(
        path, config=transformer.config, device_map="meta", use_safetensors=True, output_loading_info=True
    )
    parameters = {name for name, _ in transformer.named_parameters()}
    # BERT's pooler comes after the last hidden state, and is not used.
    missing = sorted(name for name in parameters & set(report["missing_keys"]) if "pooler" not in name.split("."))
    if not missing:
        return
    code = own_code(path)
    raise ContractError(
        f"the weights in {path} are not those of a {type(transformer).__name__}",
        got=f"{len(missing)} of {len(parameters)} are missing, such as {', '.join(missing[:SHOWN])}"
        + (f"; its repository has code of its own ({code}), which is not run" if code else ""),
        expected="all of them: what is missing would be random numbers",
        fix=TRUST if code else "use a complete checkpoint, or another base model",
    )
