"""The first configuration of a user: a preset with LLM endpoint and domain filled in, and what comes next."""

import re
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.config.load import parse_config
from embedtune.core.errors import InputError
from embedtune.core.formatting import counted
from embedtune.core.progress import Progress
from embedtune.ingest.sources import list_sources

KINDS_SHOWN = 6


@dataclass(frozen=True)
class Answers:
    """What `embedtune init` asks for.

    Args:
        llm_url: Base URL of the LLM endpoint; None: not known yet.
        llm_model: Name of the model there; None: not known yet.
        api_key_env: Environment variable that holds its key.
        domain: What the documents are; None: left out.
    """

    llm_url: str | None = None
    llm_model: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    domain: str | None = None

    @property
    def complete(self) -> bool:
        """Whether a run can call the LLM endpoint."""
        return bool(self.llm_url and self.llm_model)


def with_answers(text: str, answers: Answers) -> str:
    """Return the YAML of a configuration with the section `generate` filled in; its comments stay.

    Args:
        text: A commented configuration.
        answers: What goes into it; what is not known becomes a comment to fill in.

    Raises:
        ConfigError: An answer is not allowed.
    """
    lines = "\n".join(_generate(answers))
    if re.search(r"^generate:\n", text, re.MULTILINE):
        filled = re.sub(r"^generate:\n", lambda found: f"{found[0]}{lines}\n", text, count=1, flags=re.MULTILINE)
    else:
        filled = f"{text.rstrip()}\n\ngenerate:\n{lines}\n"
    parse_config(yaml.safe_load(filled))
    return filled


def _generate(answers: Answers) -> list[str]:
    off = "" if answers.complete else "# "
    url, model = answers.llm_url or "http://127.0.0.1:8080/v1", answers.llm_model or "NAME"
    lines = [
        f"  {off}llm:" + (" # any OpenAI-compatible endpoint (docs/llm.md)" if answers.complete else ""),
        f"  {off}  base_url: {_scalar(url)}",
        f"  {off}  model: {_scalar(model)}",
        f"  {off}  api_key_env: {_scalar(answers.api_key_env)} # the variable with its key, never the key itself",
        f"  {off}  # price_in: 0.15 # USD per million tokens; 0: free",
        f"  {off}  # price_out: 0.60",
        "  max_cost: null # in USD: a run stops before it costs more; needs the prices",
    ]
    if answers.domain:
        lines.append(f"  domain: {_scalar(answers.domain)}")
    else:
        lines.append("  # domain: what the documents are, such as rental contracts and letters to tenants")
    return lines


def _scalar(text: str) -> str:
    """Return text as a quoted YAML scalar on one line."""
    return yaml.safe_dump(text, default_style='"', width=1_000_000, allow_unicode=True).strip()


def look_at(docs: Path, progress: Progress) -> str:
    """Say which documents a folder has.

    Raises:
        InputError: The folder does not exist, or nothing in it can be read.
    """
    listing = list_sources(docs, IngestSettings(), progress)
    kinds = Counter(Path(source.name).suffix.lower() or "no suffix" for source in listing.sources)
    if not kinds:
        raise InputError(
            "no file in this folder can be read",
            got=f"{docs}: {len(listing.skipped)} other files",
            expected="documents (docs/documents.md lists the formats)",
        )
    shown = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(KINDS_SHOWN))
    more = f" and {len(kinds) - KINDS_SHOWN} other formats" if len(kinds) > KINDS_SHOWN else ""
    skipped = f"; {len(listing.skipped):,} other files are not read" if listing.skipped else ""
    return f"{counted(sum(kinds.values()), 'document')}: {shown}{more}{skipped}"


def next_steps(docs: str | None, config: Path, answers: Answers, environment: Mapping[str, str]) -> list[str]:
    """Return what to do next; the last line is the command.

    Args:
        docs: The folder of documents, or None if it was not named.
        config: The file that was written.
        answers: What it contains.
        environment: The environment variables: whether the key is there.
    """
    steps = []
    if not answers.complete:
        steps.append(f"fill in generate.llm in {config} (`embedtune local-llm` serves a model on this machine)")
    elif answers.api_key_env not in environment and not _is_local(answers.llm_url or ""):
        steps.append(f"export {answers.api_key_env}=… with the key of the LLM endpoint")
    named, file = shlex.quote(docs) if docs else "DOCS", shlex.quote(str(config))
    return [*steps, f"embedtune run {named} --config {file}"]


def _is_local(url: str) -> bool:
    return re.match(r"https?://(localhost|127\.|\[::1\])", url) is not None
