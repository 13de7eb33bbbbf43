"""Finds this machine's tritonserver: an installed one, or else the one in nvidia-pytriton."""

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
REQUIREMENTS = "requirements.txt"  # a link to requirements/triton.txt; a wheel contains a copy
COMPLETE = ".complete"
STUB = "triton_python_backend_stub"


def local_folder(port: int) -> Path:
    """Return the folder of the replica whose Triton listens on an HTTP port of this machine."""
    return CACHE / "local" / f"triton-{port}"


@dataclass(frozen=True)
class Installation:
    """A tritonserver that can be started.

    Args:
        server: The executable.
        backends: Folder with one folder per backend.
        caches: Folder with the libraries of Triton's response caches.
        environment: Variables that it needs in addition to those of this process.
    """

    server: Path
    backends: Path
    caches: Path
    environment: Mapping[str, str]

    def has_backend(self, name: str) -> bool:
        """Return whether it can run models of a backend."""
        return (self.backends / name).is_dir()


def find_installation(cache: Path = CACHE) -> Installation:
    """Return the tritonserver on the PATH (as in NVIDIA's image), or else that of nvidia-pytriton.

    Args:
        cache: Folder that contains the virtual environment of nvidia-pytriton.

    Raises:
        InputError: It cannot be installed, or this is no Linux.
    """
    require_linux()
    if found := shutil.which("tritonserver"):
        server = Path(found).resolve()
        root = server.parent.parent
        return Installation(server, root / "backends", root / "caches", {})
    return pytriton_installation(cache)


def pytriton_installation(cache: Path = CACHE) -> Installation:
    """Return the tritonserver of nvidia-pytriton; a separate virtual environment is made at first use.

    The virtual environment is separate from that of embedtune because nvidia-pytriton pins an old numpy.

    Args:
        cache: Folder that contains the virtual environment, which is named by the hash of what is installed.

    Raises:
        InputError: It cannot be installed.
    """
    text = _requirements()
    home = _home(cache, text)
    if not (home / COMPLETE).is_file():  # an image already contains it and is read-only
        cache.mkdir(parents=True, exist_ok=True)
        with home.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # if two processes start at once, only one installs it
            if not (home / COMPLETE).is_file():
                _install(home, text)
    packages = _packages(home)
    server = packages / "pytriton" / "tritonserver"
    environment = {
        "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
        # The Python backend's stub takes its packages from the first Python on the PATH.
        "PATH": os.pathsep.join([str(home / "bin"), os.defpath]),
        "VIRTUAL_ENV": str(home),
    }
    return Installation(server / "bin" / "tritonserver", home / "backends", server / "caches", environment)


def require_linux() -> None:
    """Check that a Triton can run on this machine.

    Raises:
        InputError: It is no Linux, and has no tritonserver.
    """
    if sys.platform != "linux" and shutil.which("tritonserver") is None:
        raise InputError(
            "Triton runs on Linux only",
            got=sys.platform,
            fix="stop at --to export, deploy to a cluster (deploy.target=kubernetes with release.uri), or use "
            "embedtune in Docker",
        )


def is_installed(cache: Path = CACHE) -> bool:
    """Return whether `find_installation` would find a tritonserver without installing one."""
    return shutil.which("tritonserver") is not None or (_home(cache, _requirements()) / COMPLETE).is_file()


def _requirements() -> str:
    return (resources.files(__package__) / REQUIREMENTS).read_text()


def _home(cache: Path, requirements: str) -> Path:
    digest = hashlib.sha256(f"{sys.version_info[:2]} {requirements}".encode()).hexdigest()[:12]
    return cache / f"triton-{digest}"


def _install(home: Path, requirements: str) -> None:
    log.info("installing Triton (once, about 500 MB) into %s", home)
    shutil.rmtree(home, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(home)], home)
    (home / "requirements.txt").write_text(requirements)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--no-deps", "-r", str(home / "requirements.txt")], home)
    bundled = _packages(home) / "pytriton" / "tritonserver"
    # The stub must be the one for this Python version, and be next to the backend's library.
    backend = home / "backends" / "python"
    shutil.copytree(bundled / "backends" / "python", backend)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy2(bundled / "python_backend_stubs" / version / STUB, backend / STUB)
    (home / COMPLETE).touch()


def _packages(home: Path) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return home / "lib" / version / "site-packages"


def _run(command: list[str], home: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - the command is built here
    if done.returncode:
        raise InputError(
            f"Triton cannot be installed into {home}",
            got="\n".join(done.stderr.strip().splitlines()[-5:]),
            expected=" ".join(command[:4]) + " …",
            fix="give pip on this machine access to a package index, or run where a tritonserver is installed",
        )
