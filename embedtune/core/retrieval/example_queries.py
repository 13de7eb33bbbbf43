"""Real queries of the user's, which show an LLM how people type: read from a file, kept out of the evaluation."""

from collections.abc import Iterable
from pathlib import Path

from embedtune.core.errors import ConfigError
from embedtune.core.retrieval.shingles import words


def read_example_queries(path: str | Path) -> tuple[str, ...]:
    """Read a text file with one query per line; empty lines and repetitions are left out.

    Raises:
        ConfigError: The file cannot be read or has no query.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "generate.example_queries cannot be read", got=str(error), expected="a text file in UTF-8"
        ) from error
    queries = tuple(dict.fromkeys(" ".join(line.split()) for line in text.splitlines() if words(line)))
    if not queries:
        raise ConfigError("generate.example_queries has no query", got=str(path), expected="one query per line")
    return queries


def same_queries(queries: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return the queries that are also among others, whatever their case and punctuation."""
    known = {tuple(words(other)) for other in others}
    return [query for query in queries if tuple(words(query)) in known]
