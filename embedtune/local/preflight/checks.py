"""All checks in the order of the work: `embedtune run` raises what is wrong, `embedtune doctor` shows all."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from embedtune.core.errors import EmbedtuneError
from embedtune.core.stage import STAGE_NAMES
from embedtune.local.preflight.documents import check_documents
from embedtune.local.preflight.exportable import check_export
from embedtune.local.preflight.finding import Finding, IntendedRun, refused
from embedtune.local.preflight.hardware import check_disk, check_gpu, check_memory, check_precision
from embedtune.local.preflight.llm_endpoints import check_llm_endpoints
from embedtune.local.preflight.model import check_model
from embedtune.local.preflight.serving import check_port, check_release_store
from embedtune.local.preflight.settings import check_settings
from embedtune.local.preflight.software import check_software
from embedtune.local.preflight.tracking import check_tracking
from embedtune.local.preflight.work import check_work

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """One check.

    Args:
        checked: What it checks, as findings name it.
        stages: The stages that need it.
        find: Yields what it finds, or raises the error that a stage would raise later.
    """

    checked: str
    stages: frozenset[str]
    find: Callable[[IntendedRun], Iterable[Finding]]


EVERY = frozenset(STAGE_NAMES)
MODEL = frozenset({"ingest", "generate", "mine", "train", "evaluate"})
ENCODING = frozenset({"generate", "mine", "train", "evaluate", "export"})
CHECKS = (
    Check("work directory", EVERY, check_work),
    Check("settings", EVERY, check_settings),
    Check("software", EVERY, check_software),
    Check("tracking", frozenset({"train"}), check_tracking),
    Check("documents", frozenset({"ingest"}), check_documents),
    Check("base model", MODEL, check_model),
    Check("export", frozenset({"export"}), check_export),
    Check("LLM endpoint", frozenset({"generate"}), check_llm_endpoints),
    Check("GPU", ENCODING, check_gpu),
    Check("precision", ENCODING, check_precision),
    Check("memory", ENCODING, check_memory),
    Check("disk", EVERY, check_disk),
    Check("release store", frozenset({"evaluate", "deploy"}), check_release_store),
    Check("port", frozenset({"deploy"}), check_port),
)


def examine(run: IntendedRun, checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """Return what the checks that concern the stages of a run find.

    Args:
        run: What is going to happen.
        checks: The checks.
    """
    return [finding for check in checks if check.stages & run.stages for finding in _found(check, run)]


def require_ready(run: IntendedRun, checks: Sequence[Check] = CHECKS) -> None:
    """Raise what would stop a run later, and log what is worth knowing.

    Args:
        run: What is going to happen.
        checks: The checks.

    Raises:
        EmbedtuneError: Something is wrong: the error of its stage; if there are several, the first one with all
            others in its message.
    """
    findings = examine(run, checks)
    for finding in findings:
        if finding.status == "note" and finding.fix:
            log.warning("%s: %s: %s", finding.checked, finding.found, finding.fix)
    errors = [_error_of(finding) for finding in findings if finding.status == "wrong"]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise _together(errors)


def _found(check: Check, run: IntendedRun) -> Iterator[Finding]:
    try:
        yield from check.find(run)
    except EmbedtuneError as error:
        yield refused(check.checked, error)


def _error_of(finding: Finding) -> EmbedtuneError:
    return finding.error or EmbedtuneError(
        f"the run would fail: {finding.checked}", got=finding.found, fix=finding.fix or None
    )


def _together(errors: Sequence[EmbedtuneError]) -> EmbedtuneError:
    """Return one error of the first one's kind that says everything, so that all can be put right at once."""
    words = "\n".join([f"{len(errors)} things would stop this run:", *map(_as_item, errors)])
    kind = type(errors[0])
    together = EmbedtuneError(words) if kind.__init__ is not EmbedtuneError.__init__ else kind(words)
    together.exit_code = errors[0].exit_code
    return together


def _as_item(error: EmbedtuneError) -> str:
    return "- " + str(error).replace("\n", "\n  ")
