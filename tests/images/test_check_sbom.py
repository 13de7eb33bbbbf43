"""An SBOM is accepted only if it lists packages in the versions of the lock."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = """click==8.1.0 \\
    --hash=sha256:00
numpy==1.26.4 ; python_full_version < '3.12' \\
    --hash=sha256:01
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:05
Ruamel.Yaml[old]==0.18.1 \\
    --hash=sha256:02
torch==2.13.0 \\
    --hash=sha256:03
urllib3==2.7.0
    --hash=sha256:04
"""
LISTED = {"click": "8.1.0", "numpy": "1.26.4", "ruamel-yaml": "0.18.1", "torch": "2.13.0+cpu", "urllib3": "2.7.0"}


def check(folder: Path, listed: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    parts = [{"name": name, "version": version} for name, version in {**listed, "embedtune": "0.1.0"}.items()]
    (folder / "sbom").write_text(json.dumps({"bomFormat": "CycloneDX", "components": parts, **more}))
    (folder / "lock").write_text(LOCK)
    command = [sys.executable, ROOT / "images/check_sbom.py", folder / "sbom", folder / "lock"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_packages_as_locked_are_accepted(tmp_path: Path) -> None:
    done = check(tmp_path, LISTED)
    assert (done.returncode, done.stdout) == (0, "SBOM: 6 packages, as locked\n"), done.stderr


def test_another_version_or_an_unlocked_package_is_refused(tmp_path: Path) -> None:
    done = check(tmp_path, {**LISTED, "click": "8.1.1", "evil": "1.0", "numpy": "2.4.6"})
    assert done.returncode == 1
    assert "click 8.1.1 is installed, the lock has 8.1.0" in done.stderr
    assert "numpy 2.4.6 is installed, the lock has 1.26.4 and 2.5.5" in done.stderr
    assert "evil 1.0 is installed, the lock has none" in done.stderr


def test_an_empty_list_or_another_format_is_refused(tmp_path: Path) -> None:
    assert "it lists 1 packages" in check(tmp_path, {}).stderr
    assert "not in CycloneDX's format" in check(tmp_path, LISTED, bomFormat="SPDX").stderr
