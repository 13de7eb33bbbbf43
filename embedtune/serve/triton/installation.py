"""Which tritonserver this machine has: one that is installed, else the one that nvidia-pytriton carries."""

import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from embedtune.core.errors import InputError

log = logging.getLogger(__name__)
CACHE = Path.home() / ".cache" / "embedtune"
REQUIREMENTS = "requirements.txt"  # a link to requirements/triton.txt; a wheel holds a copy
COMPLETE = ".complete"
STUB = "triton_python_backend_stub"


@dataclass(frozen=True)
class Installation:
    """A tritonserver that can be started.

    Args:
        server: The executable.
        backends: Folder with one folder a backend.
        caches: Folder with Triton's response caches.
        environment: Variables that it needs beside those of this process.
    """

    server: Path
    backends: Path
    caches: Path
    environment: Mapping[str, str]

    def has_backend(self, name: str) -> bool:
        """Tell whether it can run models of a backend."""
        return (self.backends / name).is_dir()


def find_installation(cache: Path = CACHE) -> Installation:
    """Return the tritonserver on the PATH (as in NVIDIA's image), else that of nvidia-pytriton.

    Args:
        cache: Where the latter's environment stands, or is made.

    Raises:
        InputError: It cannot be installed.
    """
    if found := shutil.which("tritonserver"):
        server = Path(found).resolve()
        root = server.parent.parent
        return Installation(server, root / "backends", root / "caches", {})
    return pytriton_installation(cache)


def pytriton_installation(cache: Path = CACHE) -> Installation:
    """Return the tritonserver of nvidia-pytriton, installed into an environment of its own if it is not yet.

    It is apart from embedtune's own environment because it pins an old numpy.

    Args:
        cache: The environment is a folder in here, named by the hash of what is installed.

    Raises:
        InputError: It cannot be installed.
    """
    requirements = resources.files(__package__) / REQUIREMENTS
    text = requirements.read_text()
    digest = hashlib.sha256(f"{sys.version_info[:2]} {text}".encode()).hexdigest()[:12]
    home = cache / f"triton-{digest}"
    if not (home / COMPLETE).is_file():  # in an image it is there, and nothing can be written
        cache.mkdir(parents=True, exist_ok=True)
        with home.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two processes that want it at once make it once
            if not (home / COMPLETE).is_file():
                _install(home, text)
    packages = _packages(home)
    server = packages / "pytriton" / "tritonserver"
    environment = {
        "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
        # The Python backend's stub takes its packages from the first python on the PATH.
        "PATH": os.pathsep.join([str(home / "bin"), os.defpath]),
        "VIRTUAL_ENV": str(home),
    }
    return Installation(server / "bin" / "tritonserver", home / "backends", server / "caches", environment)


def _install(home: Path, requirements: str) -> None:
    log.info("installing Triton (once, about 500 MB) into %s", home)
    shutil.rmtree(home, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(home)], home)
    (home / "requirements.txt").write_text(requirements)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--no-deps", "-r", str(home / "requirements.txt")], home)
    carried = _packages(home) / "pytriton" / "tritonserver"
    # The stub must be the one of this Python, and stand beside the backend's library.
    backend = home / "backends" / "python"
    shutil.copytree(carried / "backends" / "python", backend)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy2(carried / "python_backend_stubs" / version / STUB, backend / STUB)
    (home / COMPLETE).touch()


def _packages(home: Path) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return home / "lib" / version / "site-packages"


def _run(command: list[str], home: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - ours
    if done.returncode:
        raise InputError(
            f"Triton cannot be installed into {home}",
            got="\n".join(done.stderr.strip().splitlines()[-5:]),
            expected=" ".join(command[:4]) + " …",
            fix="give this machine a package index (pip), or run where a tritonserver is installed",
        )
