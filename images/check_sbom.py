"""Checks the SBOM of an image against its lock while it is built: `check_sbom.py SBOM LOCK`. Needs no package."""

import json
import re
import sys
from pathlib import Path

PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,-]+\])?==([\w.+!]+)")


def problems(sbom: dict, pins: dict[str, set[str]]) -> list[str]:  # CycloneDX's own format
    """Return what is wrong: another format, too few packages, or one that the lock has not in this version."""
    found = {normal(item["name"]): item for item in sbom.get("components", [])}
    wrong = [] if sbom.get("bomFormat") == "CycloneDX" else ["it is not in CycloneDX's format"]
    if len(found) < 5:
        wrong.append(f"it lists {len(found)} packages")
    for name, item in sorted(found.items()):
        # Torch of another index has a local version (+cpu); TensorRT is on an index of its own, and not locked.
        version = item.get("version", "").partition("+")[0]
        if name != "embedtune" and not name.startswith("tensorrt") and version not in pins.get(name, ()):
            locked = " and ".join(sorted(pins.get(name, {"none"})))
            wrong.append(f"{name} {item.get('version')} is installed, the lock has {locked}")
    return wrong


def normal(name: str) -> str:
    """Return a package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins_of(lock: str) -> dict[str, set[str]]:
    """Return the versions of each package in a lock, by its name: several where they depend on that of Python."""
    pins: dict[str, set[str]] = {}
    for match in filter(None, map(PIN.match, lock.splitlines())):
        pins.setdefault(normal(match[1]), set()).add(match[2].partition("+")[0])
    return pins


def main() -> None:
    """Print what is wrong with the SBOM and fail, or print how many packages it lists."""
    sbom = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if wrong := problems(sbom, pins_of(Path(sys.argv[2]).read_text(encoding="utf-8"))):
        sys.exit("\n".join(f"the SBOM is wrong: {line}" for line in wrong))
    sys.stdout.write(f"SBOM: {len(sbom['components'])} packages, as locked\n")


if __name__ == "__main__":
    main()
