"""The encoder contract: everything that must be the same wherever a text is turned into a vector."""

import hashlib
import json
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from embedtune.core.errors import ContractError

CONTRACT_FILE = "embedtune.json"
# Of that file, which is written here and not by core/records: configuration and records build on the contract. The
# version is raised when a field is added, removed or changed.
NAME, VERSION = "contract", 1

COMMIT = re.compile(r"[0-9a-f]{40}")
Pooling = Literal["mean", "cls", "lasttoken"]


class EncoderContract(BaseModel):
    """The rules for turning texts into vectors, as one record for mine, train, evaluate, export and serving."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_model: str = Field(
        description="Hub id, local directory, s3://bucket/prefix, or package:NAME "
        "(a Python package that contains a model directory)."
    )
    revision: str | None = Field(
        default=None, description="Commit of the hub repository. There is no default: pin the one you reviewed."
    )
    weights_sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of the weights, checked before they are used: of model.safetensors; of several "
        "files, what `sha256sum model*.safetensors | sha256sum` prints; with Dense modules, their files "
        "`*/model.safetensors` follow.",
    )
    trust_remote_code: bool = Field(
        default=False,
        description="Run Python code from the model repository; needs a pinned revision or a local copy.",
    )
    query_prefix: str = Field(default="", description="Text prepended to each query.")
    passage_prefix: str = Field(default="", description="Text prepended to each passage.")
    passage_template: str = Field(
        default="{heading}\n{text}",
        description="Template of the text embedded for a chunk; {heading} is its heading path joined by ' > '.",
    )
    pooling: Pooling = Field(default="mean", description="How the token vectors are combined into one vector.")
    normalize: Literal[True] = Field(
        default=True, description="Scale vectors to unit length (always, as in the recipe)."
    )
    max_length: int = Field(
        default=512, ge=8, le=32768, description="Maximum length of a text in tokens; longer texts are truncated."
    )
    dimensions: tuple[int, ...] = Field(description="Vector sizes that the model serves, the full size first.")
    similarity: Literal["dot"] = Field(
        default="dot", description="Inner product; it equals the cosine, since vectors are normalised."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "{text}" not in self.passage_template:
            raise ValueError("passage_template must contain {text}")
        if not self.dimensions or any(d < 1 for d in self.dimensions):
            raise ValueError("dimensions must contain at least one positive size")
        if list(self.dimensions) != sorted(set(self.dimensions), reverse=True):
            raise ValueError("dimensions must be in strictly descending order, the full size first")
        if self.trust_remote_code and self.revision is not None and not COMMIT.fullmatch(self.revision):
            raise ValueError(
                f"revision {self.revision!r} can become other code at any time: trust_remote_code needs a commit, "
                "40 hexadecimal digits"
            )
        return self

    @property
    def hash(self) -> str:
        """Sixteen hex digits that differ whenever the vectors could differ."""
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
        """Write the contract as `embedtune.json` next to a model."""
        record = {
            "schema_name": NAME,
            "schema_version": VERSION,
            "contract": self.model_dump(mode="json"),
            "contract_hash": self.hash,
        }
        (directory / CONTRACT_FILE).write_text(json.dumps(record, indent=2) + "\n")


def load_contract(directory: Path) -> EncoderContract:
    """Read the contract of a model.

    Raises:
        ContractError: The file is missing, damaged or of another version, or its hash does not match its content.
    """
    path = directory / CONTRACT_FILE
    if not path.is_file():
        raise ContractError(
            f"{directory} has no encoder contract",
            expected=f"a file {CONTRACT_FILE}",
            fix="use a model directory written by `embedtune train`",
        )
    again = "run `embedtune train` again"
    try:
        record = json.loads(path.read_bytes())
        # Files from before versions were introduced have the same fields, so models tuned then stay readable.
        name, version = record.get("schema_name", NAME), record.get("schema_version", VERSION)
        if (name, version) != (NAME, VERSION):
            raise ContractError(
                f"{path} was written by a different version of embedtune",
                got=f"{name} version {version}",
                expected=f"{NAME} version {VERSION}",
                fix=again,
            )
        contract, written = EncoderContract.model_validate(record["contract"]), record["contract_hash"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(f"{path} is damaged", got=str(error), fix=again) from error
    if contract.hash != written:
        raise ContractError(f"{path} was edited", got=contract.hash, expected=written, fix=again)
    return contract


def require_same(expected: EncoderContract, got: EncoderContract, where: str) -> None:
    """Check that two contracts are the same.

    Raises:
        ContractError: They differ; the error names the fields.
    """
    if expected.hash == got.hash:
        return
    left, right = expected.model_dump(mode="json"), got.model_dump(mode="json")
    differing = sorted(key for key in left if left[key] != right[key])
    raise ContractError(
        f"the encoder contract of {where} differs from the configuration",
        got={key: right[key] for key in differing},
        expected={key: left[key] for key in differing},
        fix="use the configuration that it was made with, or rebuild it with this one",
    )
