"""The fixtures that the tests of generate share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.generate_world import GenerateWorld
from tests.support.openai_server import OpenAIServer
from tests.support.tiny_model import make_tiny_model


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture
def world(tmp_path: Path, base: Path) -> Iterator[GenerateWorld]:
    with OpenAIServer() as server:
        yield GenerateWorld(tmp_path, base, server)
