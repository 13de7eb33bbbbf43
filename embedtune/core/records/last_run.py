"""`last-run.json` of a work directory: the command that last ran in it."""

from typing import ClassVar, Literal

from embedtune.core.records.base import JsonRecord

LAST_RUN_FILE = "last-run.json"


class LastRun(JsonRecord):
    """What `embedtune run` or `embedtune demo` was called with; `embedtune status` reads it.

    Attributes:
        command: The command.
        docs: The documents: an absolute path, s3://bucket/prefix, or None if none were named.
        preset: Option --preset.
        config_file: Option --config, as an absolute path.
        base: Option --base.
        overrides: The values of --set.
        limit: Option --limit.
        last: Option --to.
        dataset: Option --dataset, as an absolute path.
        eval_sets: The values of --eval-set: NAME=DIR with absolute paths.
        decide_on: Option --decide-on.
        champion: Option --champion, as an absolute path.
        endpoint: Option --endpoint.
    """

    NAME: ClassVar[str] = "last_run"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune run"

    command: Literal["run", "demo"]
    docs: str | None
    preset: str | None
    config_file: str | None
    base: str | None
    overrides: tuple[str, ...]
    limit: int | None
    last: str
    dataset: str | None
    eval_sets: tuple[str, ...]
    decide_on: str | None
    champion: str | None
    endpoint: str | None
