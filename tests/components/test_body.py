"""The context that component bodies open, and how they show a stage's report."""

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.body import markdown, open_context, show
from components.inputs import stage_yaml
from components.parameters import Form, run_config
from embedtune.core.artifacts import StageReport
from embedtune.core.errors import ConfigError

CONFIG = stage_yaml(run_config(Form("minilm", overrides={"generate.llm.api_key_env": "MY_KEY"})), "generate")


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "k")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    with open_context(CONFIG) as context:
        assert context.secrets.llm_api_key == context.secrets.judge_api_key == "k"
        assert (context.secrets.s3_access_key, context.secrets.s3_secret_key) == ("a", None)


def test_without_a_cache_directory_nothing_outlives_the_body() -> None:
    with open_context(CONFIG) as context:
        (context.cache / "state").write_text("x")
    assert not context.cache.exists()


def test_a_given_cache_directory_stays(tmp_path: Path) -> None:
    with open_context(CONFIG, str(tmp_path)) as context:
        (context.cache / "state").write_text("x")
    assert (tmp_path / "state").read_text() == "x"


def test_a_cancelled_task_is_interrupted_and_leaves_nothing_half_done() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(KeyboardInterrupt), open_context(CONFIG) as context:
            cache = context.cache
            signal.raise_signal(signal.SIGTERM)
        assert not cache.exists()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_bad_configuration_ends_the_task_with_its_words_and_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(SystemExit) as ended, open_context(CONFIG.replace("llm:", "lllm:")):
        pass
    assert ended.value.code == ConfigError.exit_code
    assert ended.value.__suppress_context__
    assert "generate.lllm: unknown key" in caplog.text


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), open_context(CONFIG):
        _ = 1 / 0


def test_the_page_contains_every_figure_and_begins_with_the_remark(tmp_path: Path) -> None:
    report = StageReport(
        "mine", {"kept": 3, "verdict": "WIN", "share": 0.25, "ratio": float("nan")}, ("few",), 2.5, 0.125
    )
    page = SimpleNamespace(path=str(tmp_path / "summary.md"))
    show(report, page, "The run goes on.")
    text = (tmp_path / "summary.md").read_text()
    assert text.startswith("# mine\n\nThe run goes on.\n\n| figure")
    for line in ("# mine", "| kept | 3 |", "| verdict | WIN |", "| share | 0.25 |", "| ratio | nan |", "- few"):
        assert line in text.splitlines()


def test_a_table_cell_cannot_break_the_table() -> None:
    assert "| a\\|b | c d |" in markdown(StageReport("split", {"a|b": "c\nd"}))
