"""Finds the files that datasets of the hub have in place of corpus.jsonl, queries.jsonl and qrels/*.tsv.

BeIR's are compressed: `corpus.jsonl.gz`. MTEB's older ones have `qrels/test.jsonl`. All others are Parquet, in the
layouts of MTEB and BeIR, also as the hub converts them: `corpus/corpus-00000-of-00002.parquet`,
`corpus/corpus/0000.parquet`, `data/corpus-00000-of-00001.parquet`; and for judgements `default/test-….parquet`,
`qrels/test/0000.parquet`, `data/test-….parquet`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from embedtune.core.errors import InputError

BATCH = 1000  # rows in memory at once
DEV_NAMES = ("dev", "validation", "valid", "val")
JUDGED = ("qrels", "default", "data", ".")  # folders of judgements, the first that has any counts


def files_of(path: Path) -> list[Path]:
    """Return the files that hold what is expected at a path of the BEIR layout: itself, or what stands in for it.

    That is a compressed file, Parquet, judgements as JSONL, or for dev a file with another usual name, such as
    validation.tsv.

    Args:
        path: `<directory>/corpus.jsonl`, `<directory>/queries.jsonl` or `<directory>/qrels/<split>.tsv`.
    """
    if path.is_file():
        return [path]
    if path.suffix != ".tsv":
        packed = path.with_name(f"{path.name}.gz")
        return [packed] if packed.is_file() else _records(path.parent, path.stem)
    names = DEV_NAMES if path.stem == "dev" else (path.stem,)
    others = (path.with_name(f"{name}{suffix}") for suffix in (".tsv", ".jsonl") for name in names)
    return [file for file in others if file.is_file()][:1] or _judgements(path)


def _records(folder: Path, name: str) -> list[Path]:
    named = re.compile(rf"{name}([-.].*)?\.parquet$")
    near = [
        file for place in (folder, folder / "data") for file in place.glob("*.parquet") if named.match(file.name)
    ]
    return sorted([*near, *(folder / name).rglob("*.parquet")])


def _judgements(path: Path) -> list[Path]:
    """Return the files of one split: it is in the name of the file, or of the folder."""
    names = "|".join(DEV_NAMES if path.stem == "dev" else (path.stem,))
    named = re.compile(rf"(?:{names})(?:[-.].*)?$")
    for folder in (path.parents[1] / name for name in JUDGED):
        files = folder.glob("*.parquet") if folder == path.parents[1] else folder.rglob("*.parquet")
        if found := [file for file in files if named.match(file.stem) or named.fullmatch(file.parent.name)]:
            return sorted(found)
    return []


def parquet_rows(files: list[Path]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows of Parquet files, each with its place: `file:row`.

    Raises:
        InputError: A file is damaged.
    """
    import pyarrow as pa  # not in the image that serves, which reads JSONL only
    import pyarrow.parquet as pq

    for path in files:
        number = 0
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=BATCH):
                    for row in batch.to_pylist():
                        number += 1
                        yield f"{path}:{number}", row
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{path} is not a readable Parquet file", got=str(error)[:200], fix="download it again"
            ) from error
