"""Documentation that is made from code is not stale."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_configuration_page_is_what_the_settings_say():
    spec = importlib.util.spec_from_file_location("build_configuration", ROOT / "docs" / "build_configuration.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stale = "run `python docs/build_configuration.py`"
    assert module.PAGE.read_text() == module.render(), stale
