"""The encoder contract: everything that must be equal wherever a text becomes a vector."""

import hashlib
import json
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from embedtune.core.errors import ContractError

CONTRACT_FILE = "embedtune.json"

Pooling = Literal["mean", "cls", "lasttoken"]


class EncoderContract(BaseModel):
    """How texts become vectors: one frozen record that mine, train, evaluate and serving all read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_model: str = Field(
        description="Hub id, local directory, s3://bucket/prefix, or package:NAME "
        "(a Python package that carries a model directory)."
    )
    revision: str | None = Field(
        default=None, description="Commit of the hub repository. Never invented: pin your own."
    )
    weights_sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="sha256 of model.safetensors; checked before the weights are used.",
    )
    trust_remote_code: bool = Field(
        default=False,
        description="Run Python code from the model repository; only of a pinned revision or a local copy.",
    )
    query_prefix: str = Field(default="", description="Put before each query.")
    passage_prefix: str = Field(default="", description="Put before each passage.")
    passage_template: str = Field(
        default="{heading}\n{text}",
        description="The embedded string of a chunk; {heading} is its heading path joined by ' > '.",
    )
    pooling: Pooling = Field(default="mean", description="How token vectors become one vector.")
    normalize: Literal[True] = Field(default=True, description="Vectors have unit length (recipe: always).")
    max_length: int = Field(default=512, ge=8, le=32768, description="Tokens a text is truncated to.")
    dimensions: tuple[int, ...] = Field(description="Vector sizes that the model serves, the full one first.")
    similarity: Literal["dot"] = Field(
        default="dot", description="Inner product; equals cosine, since vectors are normalised."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "{text}" not in self.passage_template:
            raise ValueError("passage_template must contain {text}")
        if not self.dimensions or any(d < 1 for d in self.dimensions):
            raise ValueError("dimensions must name at least one positive size")
        if list(self.dimensions) != sorted(set(self.dimensions), reverse=True):
            raise ValueError("dimensions must fall strictly, the full size first")
        return self

    @property
    def hash(self) -> str:
        """Sixteen hex digits that change whenever a vector could change."""
        record = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(record.encode()).hexdigest()[:16]

    def render_passage(self, heading_path: list[str] | tuple[str, ...], text: str) -> str:
        """Return the embedded string of a chunk, without the passage prefix.

        Args:
            heading_path: Headings above the chunk, outermost first; may be empty.
            text: The chunk's own text.
        """
        heading = " > ".join(part for part in heading_path if part)
        # A plain replace: documents may contain braces, which str.format would interpret.
        return self.passage_template.replace("{heading}", heading).replace("{text}", text).strip()

    def save(self, directory: Path) -> None:
        """Write the contract as `embedtune.json` beside a model."""
        record = {"contract": self.model_dump(mode="json"), "contract_hash": self.hash}
        (directory / CONTRACT_FILE).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")


def load_contract(directory: Path) -> EncoderContract:
    """Read the contract that a model carries.

    Raises:
        ContractError: The file is missing, or its hash does not match its content.
    """
    path = directory / CONTRACT_FILE
    if not path.is_file():
        raise ContractError(
            f"{directory} carries no encoder contract",
            expected=f"a file {CONTRACT_FILE}",
            fix="use a model directory that `embedtune train` wrote",
        )
    record = json.loads(path.read_text())
    contract = EncoderContract.model_validate(record["contract"])
    if contract.hash != record["contract_hash"]:
        raise ContractError(
            f"{path} was edited", got=contract.hash, expected=record["contract_hash"], fix="run train again"
        )
    return contract


def require_same(expected: EncoderContract, got: EncoderContract, where: str) -> None:
    """Refuse to go on when two contracts differ.

    Raises:
        ContractError: They differ; the message names the fields.
    """
    if expected.hash == got.hash:
        return
    left, right = expected.model_dump(mode="json"), got.model_dump(mode="json")
    differing = sorted(key for key in left if left[key] != right[key])
    raise ContractError(
        f"the encoder contract of {where} is not the configured one",
        got={key: right[key] for key in differing},
        expected={key: left[key] for key in differing},
        fix="use the configuration that made it, or make it again",
    )
