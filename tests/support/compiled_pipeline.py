"""A compiled pipeline as tests read it."""

from pathlib import Path
from typing import Any

import yaml


class Compiled:
    """One compiled pipeline."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text()
        self.spec, platform = yaml.safe_load_all(self.text)
        self.outer: dict[str, Any] = dict(self.spec["root"]["dag"]["tasks"])
        (name,) = [name for name in self.outer if name.startswith("condition-branches")]
        branches = self._inside(self.outer.pop(name))
        self.condition, self.other = (branches[name] for name in sorted(branches))
        self.inner, self.kept = self._inside(self.condition), self._inside(self.other)
        self.tasks: dict[str, Any] = self.outer | self.inner
        self.kubernetes: dict[str, Any] = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]

    def _inside(self, condition: dict[str, Any]) -> dict[str, Any]:
        """Return the tasks inside a condition, with their inputs as outside of it."""
        tasks: dict[str, Any] = self.spec["components"][condition["componentRef"]["name"]]["dag"]["tasks"]
        for task in tasks.values():
            for kind, key in (("artifacts", "componentInputArtifact"), ("parameters", "componentInputParameter")):
                for name, edge in task["inputs"].get(kind, {}).items():
                    if key in edge:
                        task["inputs"][kind][name] = condition["inputs"][kind][edge[key]]
        return tasks

    def container(self, task: str) -> dict[str, Any]:
        return self.spec["deploymentSpec"]["executors"][f"exec-{task}"]["container"]
