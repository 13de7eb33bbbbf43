"""Misspelt or impossible values are refused, and every value has an effect."""

import json
import re
import subprocess

import pytest
import yaml

from pipelines.compile import COMPILED, KINDS
from tests.charts.embedtune.conftest import CHART, Render, load_all
from tests.support.chart_values import leaves, require_schema

WHOLE = ("podSecurityContext", "containerSecurityContext", "resources", "parameters")
SCHEMAS = {"STRING": "string", "BOOLEAN": "boolean", "LIST": "array", "STRUCT": "object"}


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("retrain.parameters.document=s3://b/p", "additional properties 'document' not allowed"),
        ("retrain.parameters.storage_tls=maybe", "got string, want boolean"),
        ("retrain.parameters.deploy_if=always", "value must be one of 'win', 'marginal', 'never'"),
        ("retrain.parameters.overrides=train.epochs", "got string, want object"),
        ("retrain.parameters.preset=minlm", "value must be one of"),
        ("retrain.again=-1", "minimum: got -1, want 0"),
        ("retrian.again=1", "additional properties 'retrian' not allowed"),
        ("pipeline.register=ui", "value must be one of 'api', 'kubernetes', 'none'"),
        ("pipeline.kind=tpu", "value must be one of 'cpu', 'gpu'"),
        ("kfp.endpoint=ml-pipeline:8888", "does not match pattern"),
        ("schedule.cron=often", "does not match pattern"),
        ("schedule.when=sometimes", "value must be one of 'new-documents', 'always'"),
        ("secrets.storage=Keys", "does not match pattern"),
        ("live.release=latest", "does not match pattern"),
    ],
)
def test_a_wrong_value_is_refused(render: Render, setting: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        render(setting)


def test_parameters_need_the_documents(render: Render) -> None:
    with pytest.raises(ValueError, match="missing property 'documents'"):
        render("retrain.parameters.preset=minilm", values={})


def test_the_address_of_kfp_is_required(render: Render) -> None:
    with pytest.raises(ValueError, match=r"kfp\.endpoint: URL of the KFP API"):
        render("kfp.endpoint=")


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_of_the_parameters_is_that_of_the_compiled_pipeline(kind: str) -> None:
    spec = next(load_all((COMPILED / f"finetune-{kind}.yaml").read_text()))
    schema = json.loads((CHART / "values.schema.json").read_text())
    ours = schema["properties"]["retrain"]["properties"]["parameters"]
    compiled = spec["root"]["inputDefinitions"]["parameters"]
    assert set(ours["properties"]) == set(compiled)
    for name, about in compiled.items():
        if "literals" in about:
            assert ours["properties"][name] == {"enum": about["literals"]}, name
        else:
            assert ours["properties"][name]["type"] == SCHEMAS[about["parameterType"]], name
    required = [name for name, about in compiled.items() if not about.get("isOptional")]
    assert ours["then"]["required"] == required


def test_the_chart_passes_lint_without_any_value(helm: str) -> None:
    command = [helm, "lint", str(CHART), "--strict", "--set", "kfp.endpoint=http://ml-pipeline.kubeflow.svc:8888"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_knows_every_value() -> None:
    require_schema(CHART, WHOLE)


def test_every_value_is_used_by_a_template() -> None:
    templates = "".join(file.read_text() for file in (CHART / "templates").rglob("*") if file.is_file())
    # Within `with $root.Values` they begin with a dot.
    used = {re.sub(r"^(root\.)?Values\.", "", name) for name in re.findall(r"\.([A-Za-z0-9.]+)", templates)}
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    found = {".".join(path) for path in leaves(values, WHOLE)} - {f"secrets.{name}" for name in values["secrets"]}
    assert found - used == set()
