"""The tools that record trainings."""

from collections.abc import Iterator

from embedtune.local.preflight.finding import Finding, IntendedRun
from embedtune.tracking.trackers import require_usable


def check_tracking(run: IntendedRun) -> Iterator[Finding]:
    """Look whether the tools of `tracking.to` are installed and know where to record.

    Raises:
        ConfigError: One of them cannot be used.
    """
    if run.work is not None:  # a pipeline does not record, so it needs no tool
        require_usable(run.config.tracking.to)
    yield from ()
