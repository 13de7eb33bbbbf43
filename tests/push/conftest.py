"""One model for all tests of pushing it."""

from pathlib import Path

import pytest
import torch

from tests.support.pushable import train_once, with_verdict


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a tiny model gains nothing from more
    work = train_once(tmp_path_factory.mktemp("trained"))
    torch.set_num_threads(threads)
    return work


@pytest.fixture
def work(trained, tmp_path) -> Path:
    """A work directory whose model is a WIN."""
    return with_verdict(trained, tmp_path / "work", "WIN", trained.parent / "base")
