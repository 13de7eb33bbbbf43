"""A server that answers like Kubeflow Pipelines, as the one that `embedtune pipeline` finds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kfp_commands import SMALL
from tests.support.kfp_server import FakeKfp, kfp_server


@pytest.fixture
def kfp(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKfp]:
    for module in ("runs", "watch"):
        monkeypatch.setattr(f"pipelines.{module}.sleep", lambda seconds: None)
    with kfp_server(FakeKfp()) as fake:
        monkeypatch.setenv("KFP_ENDPOINT", fake.url)
        yield fake


@pytest.fixture
def small(tmp_path: Path) -> str:
    """Return a compiled pipeline that is read quickly."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)
