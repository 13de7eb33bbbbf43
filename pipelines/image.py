"""The image tag: a hash of the sources. KFP's cache compares image names, so equal tags must mean equal code."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTEXT = ("components", "embedtune", "images", "pipelines", "requirements", "pyproject.toml")
# Compiled pipelines contain the tag itself; the other folders are by-products of running code.
IGNORED = {"compiled", "__pycache__"}


def image_tag(root: Path = ROOT, base: str = "") -> str:
    """Return h and 12 hex digits that change with every file that goes into an image, and 8 more for another base.

    It begins with a letter because `--set image.tag=190042683306` and YAML would make a number of a tag.

    Args:
        root: A checkout of the repository.
        base: Name of the base image with its digest; empty: the default, which can change under its name.
    """
    digest = hashlib.sha256()
    for path in _files(root):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    tag = f"h{digest.hexdigest()[:12]}"
    return f"{tag}-{hashlib.sha256(base.encode()).hexdigest()[:8]}" if base else tag


def in_checkout(root: Path = ROOT) -> bool:
    """Return whether all sources of the images are there, and not only the installed packages."""
    return all((root / name).exists() for name in CONTEXT)


def _files(root: Path) -> Iterator[Path]:
    found = (file for name in CONTEXT for file in [root / name, *(root / name).rglob("*")])
    for path in sorted(found):
        parts = path.relative_to(root).parts
        hidden = any(part.startswith(".") for part in parts)
        if path.is_file() and not hidden and IGNORED.isdisjoint(parts) and path.suffix != ".pyc":
            yield path
