"""A component must start with the inputs of a cluster, whose artifacts do not say of what type they are.

`kfp.local` says it. On a cluster KFP's executor falls back on the annotation, and cannot instantiate some.
"""

from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp.dsl.executor import Executor

from pipelines.finetune import COMPONENTS


def artifact(name: str, folder: Path) -> dict[str, Any]:
    return {"artifacts": [{"name": "47", "type": {"instanceSchema": ""}, "uri": str(folder / name)}]}


@pytest.mark.parametrize("name", COMPONENTS)
def test_it_starts_with_artifacts_without_a_type(name: str, tmp_path: Path) -> None:
    component = COMPONENTS[name]
    inputs = component.component_spec.inputs or {}
    outputs = component.component_spec.outputs or {}
    read = [key for key, value in inputs.items() if "system." in value.type]
    written = [key for key, value in outputs.items() if "system." in value.type]
    given = {
        "inputs": {"artifacts": {key: artifact(key, tmp_path) for key in read}},
        "outputs": {
            "artifacts": {key: artifact(key, tmp_path) for key in written},
            "outputFile": str(tmp_path / "output_metadata.json"),
        },
    }
    started = Executor(given, component.python_func)
    for key in read:
        one = started.get_input_artifact(key)
        assert isinstance(one, dsl.Artifact)
        assert one.uri == str(tmp_path / key)
