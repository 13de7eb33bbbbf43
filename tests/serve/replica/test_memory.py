"""Whether a second release fits into memory, said before it is loaded."""

from pathlib import Path

import pytest

from embedtune.core.errors import GateError
from embedtune.serve.replica import memory
from embedtune.serve.replica.memory import COPY_BYTES, left_bytes, needed_bytes, require_memory
from tests.support.releases import make_release

MEMINFO = "MemTotal:       8000000 kB\nMemAvailable:   2000000 kB\n"


def group(folder: Path, limit: str, used: int, files: int) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {files}\n")
    return folder


def test_the_smaller_of_machine_and_control_group_counts(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(MEMINFO)
    assert left_bytes(tmp_path / "none", meminfo) == 2_000_000 << 10
    assert left_bytes(group(tmp_path, "max", 5, 5), meminfo) == 2_000_000 << 10
    # Pages of files that were read can be dropped.
    assert left_bytes(group(tmp_path, "1000", 700, 200), meminfo) == 500
    assert left_bytes(tmp_path / "none", tmp_path / "none") is None


def test_each_copy_of_the_encoder_needs_its_weights(tmp_path: Path) -> None:
    release = make_release(tmp_path / "r", {"model.onnx": b"x" * 1000, "reference.parquet": b"rows"})
    # One copy more than serve.instances=1: it tokenises meanwhile.
    assert needed_bytes(release) == 2 * (1000 + COPY_BYTES)


def test_a_second_release_is_refused_with_both_figures_and_a_first_one_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = make_release(tmp_path / "r", {"model.onnx": b"x"})
    needed = needed_bytes(release)
    monkeypatch.setattr(memory, "left_bytes", lambda: needed - 1)
    require_memory(release, [])
    with pytest.raises(GateError, match=r"no memory for release(.|\n)*134 MB are left(.|\n)*turns"):
        require_memory(release, [release])
    monkeypatch.setattr(memory, "left_bytes", lambda: needed)
    require_memory(release, [release])
