"""Proposes the release that waits as candidate: a branch in which the chart's values name it as the live one.

For a scheduled CI job in the repository that Argo CD or Flux follows; docs/gitops.md, "Who owns what is live". The
job has the rights on Git, so that no run needs any.

    AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… python gitops/propose_release.py gitops/values/retraining.yaml
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

LIVE = re.compile(r"^(live:[^\n]*\n(?:[ #][^\n]*\n|\n)*?  release:) *[^\s#]*", re.MULTILINE)


def main(path: Path) -> str:
    """Push the branch, unless there is nothing to propose or it is there; return what was done."""
    text = path.read_text()
    values = yaml.safe_load(text)
    parameters = (values.get("retrain") or {}).get("parameters") or {}
    if not parameters.get("release_uri"):
        sys.exit(f"{path}: retrain.parameters.release_uri is not set")
    candidate = waiting(parameters)
    if candidate is None:
        return "no release waits"
    if not re.fullmatch(r"[0-9a-f]{16,64}", candidate):  # whoever can write the store must not write values here
        sys.exit(f"the release store names {candidate!r} as candidate, which is no release id")
    if candidate.startswith(str((values.get("live") or {}).get("release") or "none")):
        return f"{path} names {candidate[:16]} already"
    branch = f"embedtune/release-{candidate[:16]}"
    if git("ls-remote", "--heads", "origin", branch):
        return f"{branch} is there already"
    changed, count = LIVE.subn(lambda found: f'{found[1]} "{candidate}"', text)
    if count != 1:
        sys.exit(f"{path}: expected the lines `live:` and `  release:` once, found them {count} times")
    git("switch", "-q", "-c", branch)
    path.write_text(changed)
    git("commit", "-q", "-m", f"Make release {candidate[:16]} live", "--", str(path))
    git("push", "-q", "origin", branch)
    return f"pushed {branch}"


def waiting(parameters: dict[str, Any]) -> str | None:
    """Return the id of the release that waits for its switch (deploy.flip: manual)."""
    settings = {
        "release.uri": parameters["release_uri"].replace("minio://", "s3://"),
        "storage.endpoint": parameters.get("storage_endpoint") or "null",
        "storage.secure": json.dumps(parameters.get("storage_tls", True)),
    }
    options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    listed = subprocess.run(
        ["embedtune", "release", "list", "--json", *options], check=True, stdout=subprocess.PIPE, text=True
    )
    candidate = json.loads(listed.stdout)["pointer"]["candidate"]
    return candidate["id"] if candidate and candidate["hold"] else None


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} VALUES.yaml")
    print(main(Path(sys.argv[1])))
