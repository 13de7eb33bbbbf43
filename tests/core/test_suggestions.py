"""A misspelt name is answered with the known one that is most like it."""

import pytest

from embedtune.core.suggestions import did_you_mean

KNOWN = ("ingest", "evaluate", "export", "llama-embed-1b")


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("evalute", "did you mean evaluate?"),
        ("INGEST", "did you mean ingest?"),
        ("llama", "did you mean llama-embed-1b?"),
        ("e", ""),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_the_closest_name_is_suggested(name, question):
    assert did_you_mean(name, KNOWN) == question
