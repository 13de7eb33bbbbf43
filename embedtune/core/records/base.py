"""The base class of every JSON contract: a frozen, versioned record with one writer and one reader.

A file names its schema and version next to its fields, so that an error can say what was found. Before 1.0 an
older version is refused, with the command that recreates the file.
"""

import json
import re
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from embedtune.core.errors import ArtifactError, OtherVersionError

SURROGATE = re.compile(r"[\ud800-\udfff]")  # half a character: text with one cannot be written again
NAME_KEY, VERSION_KEY = "schema_name", "schema_version"


class Part(BaseModel):
    """A part of a record: unknown keys are errors, numbers are finite, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class JsonRecord(Part):
    """The content of one JSON file.

    Attributes:
        NAME: Name of the schema, as written in the file.
        VERSION: Raised when a field is added, removed or changes its meaning.
        REMAKE: The command that recreates the file.
    """

    NAME: ClassVar[str]
    VERSION: ClassVar[int]
    REMAKE: ClassVar[str]


R = TypeVar("R", bound=JsonRecord)


def write_record(path: Path, record: JsonRecord) -> None:
    """Write a record as JSON, indented so that people can read it too."""
    path.write_text(render_record(record), encoding="utf-8")


def render_record(record: JsonRecord) -> str:
    """Return a record as JSON text, its schema and version first."""
    data = {NAME_KEY: record.NAME, VERSION_KEY: record.VERSION, **record.model_dump(mode="json")}
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_record(path: str | Path, kind: type[R]) -> R:
    """Read a record.

    Args:
        path: The JSON file.
        kind: The expected record.

    Raises:
        ArtifactError: The file is missing, damaged, or of another schema or version.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be read", got=error.strerror, expected=f"a {kind.NAME} record", fix=_again(kind)
        ) from error
    return parse_record(text, kind, str(path))


def parse_record(text: bytes | str, kind: type[R], where: str) -> R:
    """Read a record from its JSON text.

    Args:
        text: JSON text from `render_record`.
        kind: The expected record.
        where: Path or address of the text, for errors.

    Raises:
        ArtifactError: The text is damaged, or of another schema or version.
    """
    try:
        data = json.loads(text)
        if _has_surrogates(text, data):
            raise ValueError("it has a lone surrogate, which is not valid Unicode")
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{where} is damaged: it is not JSON", got=str(error), fix=_again(kind)) from error
    if not isinstance(data, dict):
        raise ArtifactError(f"{where} is damaged", got=type(data).__name__, expected="an object", fix=_again(kind))
    # Files from before versions were introduced name neither.
    name, version = data.pop(NAME_KEY, kind.NAME), data.pop(VERSION_KEY, 0)
    if name != kind.NAME:
        raise ArtifactError(
            f"{where} contains another kind of record", got=ascii(name)[:100], expected=kind.NAME, fix=_again(kind)
        )
    if version != kind.VERSION:
        raise OtherVersionError(
            f"{where} was written by a different version of embedtune",
            got=f"{name} version {version!r}"[:100],
            expected=f"{kind.NAME} version {kind.VERSION}",
            fix=_again(kind),
        )
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(part if part.isprintable() else ascii(part) for part in map(str, first["loc"]))[:200]
        raise ArtifactError(f"{where} is damaged", got=f"{place}: {first['msg']}", fix=_again(kind)) from error


def _has_surrogates(text: bytes | str, data: object) -> bool:
    """Return whether JSON that was read has half a character somewhere.

    Args:
        text: The JSON: only such that has an escape, or bytes that are not UTF-8, can have one.
        data: What it says.
    """
    try:
        plain = "\\u" not in (text.decode() if isinstance(text, bytes) else text)
    except UnicodeDecodeError:
        plain = False
    return not plain and SURROGATE.search(json.dumps(data, ensure_ascii=False)) is not None


def _again(kind: type[JsonRecord]) -> str:
    return f"run `{kind.REMAKE}` again"
