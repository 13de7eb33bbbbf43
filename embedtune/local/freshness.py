"""Why an artifact is not up to date, in words: how its manifest differs from what it would be made from."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from embedtune.core.artifacts import SCHEMAS, Manifest, Provenance
from embedtune.core.contract import EncoderContract

NOT_SET = "not set"
DOCUMENTS_CHANGED = "documents: has changed"
SHOWN_VALUE = 60  # characters of a value; a longer one is cut
SHOWN_FILES = 3


def reasons(manifest: Manifest, expected: Provenance, unchecked: frozenset[str] = frozenset()) -> list[str]:
    """Say why a stage would write its artifact again; nothing if the artifact is up to date.

    Args:
        manifest: What the artifact was made from.
        expected: What it would be made from now.
        unchecked: Names of inputs that are not compared, since only the stage itself can find them.
    """
    found = [] if manifest.seed == expected.seed else [f"seed: {manifest.seed} → {expected.seed}"]
    found += [
        f"contract.{name}: {_shown(before)} → {_shown(now)}"
        for name, before, now in differences(_plain(manifest.contract), _plain(expected.contract))
    ]
    found += [
        f"{name}: {_shown(before)} → {_shown(now)}"
        for name, before, now in differences(manifest.settings, expected.settings)
    ]
    before, now = (
        {name: value for name, value in inputs.items() if name not in unchecked}
        for inputs in (manifest.inputs, expected.inputs)
    )
    found += [
        _input_sentence(name, before, now) for name in sorted({*before, *now}) if before.get(name) != now.get(name)
    ]
    if manifest.code_version != expected.code_version:
        found.append("the code of this stage is of another version of embedtune")
    return found


def differences(
    before: Mapping[str, JsonValue], now: Mapping[str, JsonValue]
) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    """Yield each setting that differs, as its full key and both values, in the order of the settings.

    Args:
        before: Settings by name; sections are mappings in them.
        now: The same at another time, or of another run.
    """
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name, NOT_SET), now.get(name, NOT_SET)
        if isinstance(old, dict) and isinstance(new, dict):
            for key, was, is_now in differences(old, new):
                yield f"{name}.{key}", was, is_now
        elif old != new:
            yield name, old, new


def _plain(contract: EncoderContract) -> dict[str, JsonValue]:
    data: dict[str, JsonValue] = contract.model_dump(mode="json")
    return data


def _shown(value: JsonValue) -> str:
    text = str(value)
    return text if len(text) <= SHOWN_VALUE else f"{text[:SHOWN_VALUE]}…"


def _input_sentence(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    kind, _, rest = name.partition(".")
    if kind == "eval_set":
        position, _, title = rest.partition(".")
        what = "was added" if name not in before else "is left out" if name not in now else "has changed"
        return f"evaluation set {title} (number {position}) {what}"
    if name == "split.duplicate_similarity":
        return f"{name}: {before.get(name, NOT_SET)} → {now.get(name, NOT_SET)}"
    if name == "reviews":
        return "people's decisions about questions have changed"
    if name in SCHEMAS:
        return f"the {name} artifact is another one"
    if name not in before or name not in now:
        return f"{name.replace('_', ' ')}: {'new' if name not in before else 'no longer given'}"
    return f"{name.replace('_', ' ')}: has changed"


def document_changes(chunks: Path, present: Mapping[str, str]) -> list[str]:
    """Say which documents were added, edited and removed since ingest.

    Files with several documents, such as tables of records, are left out: these have hashes of their own.

    Args:
        chunks: The chunks artifact.
        present: The SHA-256 of each document that is there now, by path.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(chunks / "documents.parquet", columns=["path", "sha256"])
    read = dict(zip(table["path"].to_pylist(), table["sha256"].to_pylist(), strict=True))
    refused = set(pq.read_table(chunks / "skipped.parquet", columns=["path"])["path"].to_pylist())
    several = {path.partition("#")[0] for path in read if path not in present} & {*present}
    single = {path: digest for path, digest in present.items() if path not in several}
    known = {path: digest for path, digest in read.items() if path.partition("#")[0] not in several}
    changes = {
        "added": sorted({*single} - {*known} - refused),
        "edited": sorted(path for path, digest in single.items() if known.get(path, digest) != digest),
        "removed": sorted({*known} - {*single}),
    }
    return [
        f"{len(paths)} document{'s' if len(paths) > 1 else ''} {what}: {_listed(paths)}"
        for what, paths in changes.items()
        if paths
    ]


def _listed(paths: list[str]) -> str:
    more = f" and {len(paths) - SHOWN_FILES} more" if len(paths) > SHOWN_FILES else ""
    return ", ".join(paths[:SHOWN_FILES]) + more
