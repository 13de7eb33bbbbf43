"""The base model: whether it is there, and is what the contract says."""

import json
from collections.abc import Iterator
from pathlib import Path

from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.loading import own_code
from embedtune.core.encoders.model_files import read_facts
from embedtune.core.encoders.weights import weight_files
from embedtune.core.errors import EmbedtuneError
from embedtune.core.progress import SilentProgress
from embedtune.local.preflight.finding import Finding, IntendedRun


def check_model(run: IntendedRun) -> Iterator[Finding]:
    """Find the base model, and if there is time, embed a text with it.

    Raises:
        EmbedtuneError: It cannot be found, downloaded or loaded, or differs from the contract.
    """
    config, path = run.config, run.base
    if isinstance(path, EmbedtuneError):
        raise path
    found = f"{config.contract.base_model}, {weight_bytes(path) / 1e6:.0f} MB"
    if run.thorough:
        # Imported here, so that a run that ends with ingest does not wait for torch.
        from embedtune.core.encoders.pytorch import TorchEncoder

        encoder = TorchEncoder(path, config.contract, config.runtime)
        found += f", {encoder.encode_queries(['ready?'], SilentProgress()).shape[1]} dimensions"
    yield Finding("fine", "base model", found)
    yield from _doubts(path, config.contract)


def _doubts(path: Path, contract: EncoderContract) -> Iterator[Finding]:
    """Yield what the model's files say about its vectors that no contract can be compared with."""
    prompts = read_facts(path).other_prompts
    if prompts and not contract.query_prefix:
        said = ", ".join(f"{name} {json.dumps(text, ensure_ascii=False)}" for name, text in prompts.items())
        fix = "set contract.query_prefix to the one for search; without it the base looks weaker than it is"
        yield Finding("note", "base model", f"its files have prompts, and the contract has none: {said}", fix)
    code = own_code(path)
    if code and not contract.trust_remote_code:
        fix = "check that its card says that transformers alone can load it; else its vectors are other ones"
        yield Finding("note", "base model", f"its repository has code of its own ({code}), which is not run", fix)


def weight_bytes(path: Path) -> int:
    """Return the size of a model's weights."""
    return sum(file.stat().st_size for file in weight_files(path))
