"""What a check is about, and what it found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from embedtune.core.comparisons import Comparisons
from embedtune.core.config.config import Config
from embedtune.core.errors import EmbedtuneError
from embedtune.core.secrets import Secrets

Status = Literal["fine", "note", "wrong"]


@dataclass(frozen=True)
class IntendedRun:
    """What a run is about to do.

    Args:
        config: The configuration.
        secrets: Credentials.
        stages: Names of the stages that will run.
        work: Directory that it will write to; None: it has none of its own, as in a pipeline.
        cache: Directory for downloads; None: the one in the work directory.
        documents: Folder or s3://bucket/prefix that ingest will read; None: unknown, or ingest does not run.
        comparisons: Additional evaluation sets and models to compare with.
        asks_llm: Whether generate will call the LLM; it will not if its questions are finished.
        patience_s: Seconds to wait for a reply of the LLM; None: as long as a call of the run may take.
        thorough: Whether to spend time on figures, for someone who waits for them: loads the model, and tests
            whether the LLM endpoint enforces JSON schemas.
    """

    config: Config
    secrets: Secrets
    stages: frozenset[str]
    work: Path | None = None
    cache: Path | None = None
    documents: str | None = None
    comparisons: Comparisons = field(default_factory=Comparisons)
    asks_llm: bool = True
    patience_s: float | None = None
    thorough: bool = False

    @cached_property
    def base(self) -> Path | EmbedtuneError:
        """The directory of the base model, or why there is none; found once, since weights are hashed."""
        from embedtune.core.encoders.base_model import resolve_base

        config, cache = self.config, self.cache or (self.work or Path()) / "cache"
        try:
            return resolve_base(config.contract, config.base, cache, config.storage, self.secrets)
        except EmbedtuneError as error:
            return error

    @cached_property
    def document_sizes(self) -> Sequence[int] | EmbedtuneError:
        """The size in bytes of each document, or why there are none; listed once."""
        from embedtune.local.preflight.documents import list_sizes

        try:
            return list_sizes(self.documents or "", self.config.storage, self.secrets)
        except EmbedtuneError as error:
            return error


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Args:
        status: wrong: the run would fail; note: worth knowing.
        checked: What was checked.
        found: What was found.
        fix: What to do about it, or "".
        error: The error that a stage would raise later, if the check ended with one.
    """

    status: Status
    checked: str
    found: str
    fix: str = ""
    error: EmbedtuneError | None = field(default=None, repr=False, compare=False)

    def as_json(self) -> Mapping[str, str]:
        """Return the finding as plain data."""
        return {"status": self.status, "checked": self.checked, "found": self.found, "fix": self.fix}


def refused(checked: str, error: EmbedtuneError, about: str = "") -> Finding:
    """Return the finding that an error is.

    Args:
        checked: What was checked.
        error: The error.
        about: What it is about, to begin with.
    """
    words = f"{error.what}{f' ({error.got})' if error.got is not None else ''}"
    return Finding("wrong", checked, f"{about}: {words}" if about else words, error.fix or "", error)
