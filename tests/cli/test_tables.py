"""Tables keep names and figures whole, in a pipe and in a narrow terminal."""

import io
import os
import subprocess
import sys

from rich.console import Console

from embedtune.cli import views
from embedtune.cli.console import table
from embedtune.core.config.load import load_config
from embedtune.core.config.origins import settings_of
from embedtune.core.records.metrics import SetMetrics
from tests.support.evaluation_records import interval

RUN = "finetune-cpu-of-the-handbook-2026-11-30"


def _drawn(drawable: object, width: int, *, soft_wrap: bool) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(drawable, soft_wrap=soft_wrap)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_table_of_figures_is_never_folded() -> None:
    runs = table(["run", "started", "nDCG"], [[RUN, "2026-11-30 19:20", "0.5450"], ["b", "-", "-"]])
    assert _drawn(runs, 40, soft_wrap=True) == [
        f"run{' ' * 36}           started    nDCG",
        f"{RUN}  2026-11-30 19:20  0.5450",
        f"b{' ' * 38}                 -       -",
    ]


def test_names_of_settings_stay_whole_at_80_columns_and_long_values_fold() -> None:
    config = load_config("minilm")
    settings = settings_of("minilm", (), config, config)
    lines = _drawn(views.settings_table(settings), 80, soft_wrap=False)
    assert {entry.key for entry in settings} <= {line.split()[0] for line in lines if line.strip()}
    assert max(map(len, lines)) <= 80
    assert len(lines) > len(settings) + 1  # the hash of the weights takes several lines


def test_in_a_pipe_every_value_is_on_one_line() -> None:
    config = load_config("minilm")
    command = [sys.executable, "-m", "embedtune", "config", "show"]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    (line,) = [line for line in shown.splitlines() if line.split()[0] == "contract.weights_sha256"]
    assert config.contract.weights_sha256 in line


def test_too_few_documents_for_an_interval_show_a_dash() -> None:
    whole = interval(0.1, -1.0, 1.0, units=1)
    delta = {"ndcg@10": whole, "recall@10": whole, "mrr@10": whole}
    means = dict.fromkeys(delta, 0.5)
    entry = SetMetrics(queries=9, units=1, systems={"base": means, "tuned": means}, delta=delta)
    lines = _drawn(views.metrics_table("synthetic", entry), 80, soft_wrap=True)
    assert lines[-1].split() == ["interval", "-", "-", "-"]
    assert "1 family of documents" in lines[0] + lines[1]
