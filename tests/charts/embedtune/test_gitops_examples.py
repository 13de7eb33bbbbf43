"""The examples for Argo CD and Flux: the files that they name exist, and the charts render with them."""

from typing import Any

import pytest
import yaml

from tests.charts.embedtune.conftest import CHART as RETRAINING_CHART
from tests.charts.embedtune.conftest import Render, helm_template, load_all, named

ROOT = RETRAINING_CHART.parents[1]
GITOPS = ROOT / "gitops"
SERVICES = ("serving", "retraining")


def read(path: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((GITOPS / path).read_text())
    return document


@pytest.mark.parametrize("service", SERVICES)
def test_argo_cd_finds_the_chart_and_its_values(service: str) -> None:
    source = read(f"argo-cd/{service}.yaml")["spec"]["source"]
    chart = ROOT / source["path"]
    (values,) = [(chart / name).resolve() for name in source["helm"]["valueFiles"]]
    assert (chart / "Chart.yaml").is_file()
    assert values == GITOPS / "values" / f"{service}.yaml"


@pytest.mark.parametrize("service", SERVICES)
def test_flux_finds_the_chart_and_its_values(service: str) -> None:
    chart = read(f"flux/{service}.yaml")["spec"]["chart"]["spec"]
    assert (ROOT / chart["chart"] / "Chart.yaml").is_file()
    own, ours = [(ROOT / name).resolve() for name in chart["valuesFiles"]]
    assert own == (ROOT / chart["chart"] / "values.yaml").resolve()
    assert ours == GITOPS / "values" / f"{service}.yaml"
    source = read("flux/source.yaml")
    assert chart["sourceRef"] == {"kind": source["kind"], "name": source["metadata"]["name"]}


@pytest.mark.parametrize("service", SERVICES)
def test_both_install_the_same_into_the_same_namespace(service: str) -> None:
    argo, flux = read(f"argo-cd/{service}.yaml")["spec"], read(f"flux/{service}.yaml")["spec"]
    assert argo["source"]["helm"]["releaseName"] == flux["releaseName"]
    assert argo["destination"]["namespace"] == flux["targetNamespace"]


def test_flux_takes_what_the_charts_need() -> None:
    lines = read("flux/source.yaml")["spec"]["ignore"].splitlines()
    assert lines[0] == "/*"
    for name in lines[1:]:
        assert (ROOT / name.removeprefix("!/")).is_dir()
    assert {"!/charts", "!/gitops/values"} == set(lines[1:])


def test_flux_sees_a_run_that_failed() -> None:
    """Waiting as Helm 3 does, it would not before its timeout: the Job has failed, but not backoffLimit times."""
    assert read("flux/retraining.yaml")["spec"]["waitStrategy"] == {"name": "poller"}


def test_the_commit_is_given_to_the_run(render: Render) -> None:
    (parameter,) = read("argo-cd/retraining.yaml")["spec"]["source"]["helm"]["parameters"]
    # Without forceString a commit of digits alone would be a number.
    assert parameter == {"name": "retrain.commit", "value": "$ARGOCD_APP_REVISION_SHORT", "forceString": True}
    values = read("values/retraining.yaml")
    values["retrain"]["commit"] = "1234567"
    objects = render(values=values)
    assert named(objects, "ConfigMap", "embedtune-run-")["data"]["about"].startswith("commit 1234567, ")


@pytest.mark.parametrize("service", SERVICES)
def test_the_charts_render_with_the_example_values(helm: str, service: str) -> None:
    chart = ROOT / read(f"argo-cd/{service}.yaml")["spec"]["source"]["path"]
    text = helm_template(helm, "handbook", chart, "-f", str(GITOPS / "values" / f"{service}.yaml"))
    assert [item for item in load_all(text) if item]


def test_the_runs_deploy_to_what_is_served(helm: str) -> None:
    serving, retraining = read("values/serving.yaml"), read("values/retraining.yaml")
    parameters = retraining["retrain"]["parameters"]
    assert parameters["release_uri"] == serving["storage"]["releases"]
    assert parameters["storage_endpoint"] == serving["storage"]["endpoint"]
    assert parameters["storage_tls"] == serving["storage"]["secure"]
    spec = read("argo-cd/serving.yaml")["spec"]
    text = helm_template(
        helm,
        spec["source"]["helm"]["releaseName"],
        ROOT / "charts/triton",
        "-f",
        str(GITOPS / "values/serving.yaml"),
    )
    (service,) = [item["metadata"]["name"] for item in load_all(text) if item and item["kind"] == "Service"]
    assert parameters["endpoint_url"] == f"http://{service}.{spec['destination']['namespace']}.svc:8080"
