"""Every JSON contract names its schema and version; anything else is refused with the command to run."""

import json
from pathlib import Path
from typing import ClassVar

import pytest

from embedtune.core.errors import ArtifactError
from embedtune.core.records.base import JsonRecord, Part, parse_record, read_record, render_record, write_record


class Score(Part):
    """A part of the record below."""

    value: float


class Verdict(JsonRecord):
    """A record with a part, a list and an optional field."""

    NAME: ClassVar[str] = "verdict"
    VERSION: ClassVar[int] = 2
    REMAKE: ClassVar[str] = "embedtune evaluate"

    outcome: str
    scores: tuple[Score, ...] = ()
    note: str | None = None


RECORD = Verdict(outcome="WIN über alles", scores=(Score(value=0.1), Score(value=1e-9)))


def test_a_record_is_read_as_it_was_written(tmp_path: Path):
    write_record(tmp_path / "verdict.json", RECORD)
    assert read_record(tmp_path / "verdict.json", Verdict) == RECORD
    assert parse_record(render_record(RECORD), Verdict, "here") == RECORD


def test_the_schema_and_its_version_come_first_and_people_can_read_the_rest():
    text = render_record(RECORD)
    assert list(json.loads(text)) == ["schema_name", "schema_version", "outcome", "scores", "note"]
    assert "über" in text and text.endswith("}\n")


def test_a_number_that_is_not_finite_is_not_written():
    with pytest.raises(ValueError, match="finite number"):
        Verdict(outcome="WIN", scores=(Score(value=float("nan")),))


def changed(**fields: object) -> str:
    return json.dumps(json.loads(render_record(RECORD)) | fields)


def without(*names: str) -> str:
    return json.dumps({key: value for key, value in json.loads(render_record(RECORD)).items() if key not in names})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{", ["is damaged: it is not JSON"]),
        (b"\xff\xfe\x00", ["is damaged: it is not JSON"]),
        ("[]", ["is damaged", "list", "an object"]),
        (changed(schema_version=3), ["a different version", "verdict version 3", "verdict version 2"]),
        (without("schema_name", "schema_version"), ["a different version", "verdict version 0"]),
        (changed(schema_name="parity"), ["another kind of record", "parity", "expected: verdict"]),
        (changed(schema_name="\ud800"), ["is damaged", "lone surrogate"]),
        (changed(outcome="a\udfff"), ["is damaged", "lone surrogate"]),
        (changed(schema_version="9\nline"), ["a different version", r"verdict version '9\nline'"]),
        (changed(scores=[{"value": float("nan")}]), ["is damaged", "scores.0.value", "finite number"]),
        ('{"a":' * 100_000, ["is damaged: it is not JSON"]),
        ("", ["is damaged: it is not JSON"]),
        (changed(colour="red"), ["is damaged", "colour", "not permitted"]),
        (changed(scores=[{"value": 1, "unit": "s"}]), ["is damaged", "scores.0.unit", "not permitted"]),
        (without("outcome"), ["is damaged", "outcome", "required"]),
        (changed(scores=[{"value": "high"}]), ["is damaged", "scores.0.value", "valid number"]),
    ],
)
def test_a_damaged_or_foreign_record_is_refused_with_the_reason_and_what_to_run(tmp_path: Path, text, parts):
    path = tmp_path / "verdict.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ArtifactError) as caught:
        read_record(path, Verdict)
    assert str(path) in caught.value.what
    assert caught.value.fix == "run `embedtune evaluate` again"
    for part in parts:
        assert part in str(caught.value)
    assert str(caught.value).encode()


def test_a_missing_record_is_refused_with_what_to_run(tmp_path: Path):
    with pytest.raises(ArtifactError, match="cannot be read") as caught:
        read_record(tmp_path / "verdict.json", Verdict)
    assert caught.value.got == "No such file or directory"
    assert caught.value.expected == "a verdict record"
    assert caught.value.fix == "run `embedtune evaluate` again"


def test_a_record_never_changes():
    with pytest.raises(ValueError, match="frozen"):
        RECORD.outcome = "MARGINAL"
