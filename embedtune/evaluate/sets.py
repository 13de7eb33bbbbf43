"""The retrieval sets of an evaluation: the dataset's own test split and the sets that the user adds."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from embedtune.core.artifacts import file_sha256
from embedtune.core.comparisons import SYNTHETIC
from embedtune.core.config.ingest import IngestSettings
from embedtune.core.errors import EmbedtuneError, InputError
from embedtune.core.progress import Progress
from embedtune.core.retrieval.beir import RetrievalSet, read_retrieval_set
from embedtune.core.retrieval.hub_files import files_of
from embedtune.core.retrieval.passage_groups import in_groups

SPLIT = "test"
NEAR_DUPLICATES = {"near_duplicate_jaccard", "near_duplicate_containment", "boilerplate_documents"}
FILES = ("corpus.jsonl", "queries.jsonl", f"qrels/{SPLIT}.tsv")


def check_names(eval_sets: Mapping[str, Path]) -> None:
    """Refuse names that are reserved and directories that are incomplete.

    Raises:
        InputError: A name is empty or reserved, or a directory lacks a file of the BEIR layout.
    """
    for name, directory in eval_sets.items():
        if name == SYNTHETIC or not name.strip():
            raise InputError(
                "an --eval-set cannot have this name",
                got=repr(name),
                expected=f"a name that is neither empty nor {SYNTHETIC!r}",
            )
        missing = [file for file in FILES if not files_of(directory / file)]
        if missing:
            there = sorted(item.name for item in directory.iterdir())[:10] if directory.is_dir() else []
            raise InputError(
                f"the evaluation set {name} is not complete",
                got=f"{directory} lacks {', '.join(missing)}; it has: {', '.join(there) or 'nothing'}",
                expected=f"a BEIR directory with {', '.join(FILES)}",
                fix=f'check --eval-set {name}=DIR, or write the data in this layout (docs/eval-sets.md, "The BEIR '
                'layout"); questions with quoted answers become such a set by `embedtune eval-set`',
            )


def fingerprint(directory: Path, settings: IngestSettings) -> str:
    """Return a hash of what an evaluation on a BEIR directory depends on: files, and what near-duplicates are."""
    digest = hashlib.sha256(settings.model_dump_json(include=NEAR_DUPLICATES).encode())
    for name in FILES:
        for file in files_of(directory / name):
            digest.update(file_sha256(file).encode())
    return digest.hexdigest()


def load_set(name: str, directory: Path, settings: IngestSettings, progress: Progress) -> RetrievalSet:
    """Read the test split of a BEIR directory, with the near-duplicate group and family of each passage.

    Args:
        name: Name of the set, for messages.
        directory: The directory.
        settings: When passages are near-duplicates, for a set that does not say.
        progress: Updated while they are looked for.

    Raises:
        InputError: The set has no judged query or no passage, or is damaged.
    """
    try:
        data = read_retrieval_set(directory, SPLIT)
    except InputError as error:
        raise InputError(
            f"evaluation set {name}: {error.what}", got=error.got, expected=error.expected, fix=error.fix
        ) from error
    if not data.queries or not data.corpus:
        raise InputError(
            f"the evaluation set {name} has nothing to evaluate",
            got=f"{len(data.queries)} judged test queries, {len(data.corpus)} passages in {directory}",
            expected="at least one judgement above 0 in qrels/test.tsv",
            fix="add documents or questions"
            if name == SYNTHETIC
            else "check that qrels/test.tsv judges queries of queries.jsonl",
        )
    return replace(data, corpus=in_groups(data.corpus, settings, progress))


def named(name: str, system: str, error: EmbedtuneError) -> EmbedtuneError:
    """Return the same error with the system and the set named in its first line."""
    return type(error)(
        f"{system} on the set {name}: {error.what}", got=error.got, expected=error.expected, fix=error.fix
    )
