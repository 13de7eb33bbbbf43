"""The fixtures that the tests of the LLM client share."""

from pathlib import Path

import pytest

from embedtune.llm.cache import ResponseCache


@pytest.fixture
def cache(tmp_path: Path) -> ResponseCache:
    return ResponseCache(tmp_path / "cache" / "replies.sqlite")
