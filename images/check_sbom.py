"""Checks the SBOM of an image against its lock while it is built: `check_sbom.py SBOM LOCK`. Needs no package."""

import json
import re
import sys
from pathlib import Path

PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,-]+\])?==([\w.+!]+)")


def problems(sbom: dict, pins: dict[str, str]) -> list[str]:  # CycloneDX's own format
    """Return what is wrong: another format, too few packages, or one that the lock has not in this version."""
    found = {normal(item["name"]): item for item in sbom.get("components", [])}
    wrong = [] if sbom.get("bomFormat") == "CycloneDX" else ["it is not in CycloneDX's format"]
    if len(found) < 5:
        wrong.append(f"it lists {len(found)} packages")
    for name, item in sorted(found.items()):
        # Torch of another index has a local version (+cpu); TensorRT is on an index of its own, and not locked.
        version = item.get("version", "").partition("+")[0]
        if name != "embedtune" and not name.startswith("tensorrt") and pins.get(name) != version:
            wrong.append(f"{name} {item.get('version')} is installed, the lock has {pins.get(name, 'none')}")
    return wrong


def normal(name: str) -> str:
    """Return a package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins_of(lock: str) -> dict[str, str]:
    """Return the version of each package in a lock, by its name."""
    matches = filter(None, map(PIN.match, lock.splitlines()))
    return {normal(match[1]): match[2].partition("+")[0] for match in matches}


def main() -> None:
    """Print what is wrong with the SBOM and fail, or print how many packages it lists."""
    sbom = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if wrong := problems(sbom, pins_of(Path(sys.argv[2]).read_text(encoding="utf-8"))):
        sys.exit("\n".join(f"the SBOM is wrong: {line}" for line in wrong))
    sys.stdout.write(f"SBOM: {len(sbom['components'])} packages, as locked\n")


if __name__ == "__main__":
    main()
