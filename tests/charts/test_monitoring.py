"""Alerts and dashboard use metrics that exist, and every alert has a runbook."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
import yaml
from prometheus_client.parser import text_string_to_metric_families

from embedtune.serve.gateway.metrics import Metrics
from tests.charts.conftest import CHART, Render
from tests.support.triton_server import Triton

RUNBOOKS = CHART.parents[1] / "docs" / "runbooks.md"
# Whose value says nothing by itself, or that another page is about (docs/feedback.md).
NOT_SHOWN = re.compile(r"embedtune_gateway_feedback_\w+|process_\w+|\w+_created")
BY_PROMETHEUS = {"namespace", "service", "endpoint", "pod", "le"}  # labels that it adds, or that a histogram has
GROUPS = re.compile(r"\bby \(([^)]*)\)|\{\{(\w+)\}\}|[{,](\w+)[=!]")
METRIC = re.compile(r"\b(?:embedtune|nv|process)_\w+")
SUFFIX = re.compile(r"_(?:total|bucket|sum|count)$")


def every_series() -> dict[str, set[str]]:
    """Return the labels of each metric of the gateway, by its name without suffix."""
    metrics = Metrics()
    for counter, labels in (
        (metrics.requests, ("/v1/embeddings", "200", "embedtune", "2a5a")),
        (metrics.seconds, ("/v1/embeddings", "embedtune", "2a5a")),
        (metrics.texts, ("query", "embedtune", "2a5a")),
        (metrics.tokens, ("embedtune", "2a5a")),
        (metrics.key_requests, ("search", "200")),
        (metrics.key_tokens, ("search",)),
        (metrics.queries.scripts, ("latin",)),
        (metrics.queries.cosine, ("2a5a",)),
        (metrics.queries.expected, ("2a5a",)),
        (metrics.queries.far, ("2a5a",)),
        (metrics.shadow.requests, ("5375", "ok")),
        (metrics.shadow.seconds, ("5375", "live")),
        (metrics.shadow.cosine, ("5375",)),
        (metrics.shadow.overlap, ("5375",)),
    ):
        counter.labels(*labels)  # type: ignore[attr-defined]
    found: dict[str, set[str]] = {"embedtune_gateway_canary_cosine": {"release"}}
    found["embedtune_gateway_canary_last_success_timestamp_seconds"] = {"release"}
    for family in text_string_to_metric_families(metrics.render().decode()):
        labels = {label for sample in family.samples for label in sample.labels}
        found[SUFFIX.sub("", family.name)] = found.get(family.name, set()) | labels
    return found


@pytest.fixture(scope="module")
def rules(render: Render) -> list[dict[str, Any]]:
    objects = render("prometheusRule.enabled=true", "prometheusRule.labels.release=prometheus")
    assert objects["PrometheusRule"]["metadata"]["labels"]["release"] == "prometheus"
    (group,) = objects["PrometheusRule"]["spec"]["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    board: dict[str, Any] = json.loads((CHART / "files" / "dashboard.json").read_text())
    return board


def queries(rules: list[dict[str, Any]], dashboard: dict[str, Any]) -> Iterator[str]:
    yield from (rule["expr"] for rule in rules)
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    yield yaml.safe_load((CHART / "values.yaml").read_text())["autoscaling"]["loadMetric"]


def names_of(exposition: str) -> set[str]:
    """Return the names of the metrics in Prometheus' text format, without the suffixes of their series."""
    return {SUFFIX.sub("", line.split()[2]) for line in exposition.splitlines() if line.startswith("# TYPE")}


def used(rules: list[dict[str, Any]], dashboard: dict[str, Any]) -> set[str]:
    return {SUFFIX.sub("", name) for query in queries(rules, dashboard) for name in METRIC.findall(query)}


def test_every_metric_of_the_gateway_exists(rules: list[dict[str, Any]], dashboard: dict[str, Any]) -> None:
    known = names_of(Metrics().render().decode())
    asked = {name for name in used(rules, dashboard) if not name.startswith("nv_")}
    assert len(asked) > 5
    assert asked - known == set()


def test_every_metric_of_triton_exists(
    rules: list[dict[str, Any]], dashboard: dict[str, Any], triton: Triton
) -> None:
    reply = urllib3.request(
        "GET", f"http://127.0.0.1:{triton.metrics_port}/metrics", headers={"Connection": "close"}
    )
    known = names_of(reply.data.decode())
    asked = {name for name in used(rules, dashboard) if name.startswith("nv_")}
    assert len(asked) > 3
    assert asked - known == set()


def test_every_metric_of_the_gateway_is_on_the_dashboard_or_in_an_alert(
    rules: list[dict[str, Any]], dashboard: dict[str, Any]
) -> None:
    offered = {name for name in every_series() if not NOT_SHOWN.fullmatch(name)}
    assert len(offered) > 15
    assert offered - used(rules, dashboard) == set()


def test_panels_group_by_labels_that_their_metric_has(dashboard: dict[str, Any]) -> None:
    known = every_series()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            names = {SUFFIX.sub("", name) for name in METRIC.findall(target["expr"])}
            if not names <= set(known):  # Triton's own
                continue
            asked = {
                label.strip()
                for groups in GROUPS.findall(target["expr"] + target["legendFormat"])
                for label in ",".join(groups).split(",")
            } - {""}
            for name in names:
                assert asked - BY_PROMETHEUS <= known[name], (panel["title"], name)


def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len({*places}) == len(places) == len({panel["id"] for panel in dashboard["panels"]})


def test_every_query_is_about_this_installation(rules: list[dict[str, Any]], dashboard: dict[str, Any]) -> None:
    for rule in rules:
        assert rule["expr"].count("{") == rule["expr"].count('{namespace="serving",service="embedtune-triton"')
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            assert target["expr"].count("{") == target["expr"].count('{namespace="$namespace",service="$service"')


def test_every_alert_has_a_runbook_and_every_runbook_an_alert(rules: list[dict[str, Any]]) -> None:
    headings = [
        line.removeprefix("## ") for line in RUNBOOKS.read_text().splitlines() if line.startswith("## Emb")
    ]
    assert [rule["alert"] for rule in rules] == headings
    for rule in rules:
        assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{rule['alert'].lower()}"


def test_without_load_or_with_scaling_to_zero_no_alert_fires_because_nothing_is_asked(render: Render) -> None:
    zero = ("autoscaling.enabled=true", "autoscaling.by=keda", "autoscaling.min=0", "autoscaling.keda.wake=up")
    objects = render("prometheusRule.enabled=true", *zero, "autoscaling.keda.prometheus=http://p:9090")
    (group,) = objects["PrometheusRule"]["spec"]["groups"]
    assert "EmbedtuneDown" not in {rule["alert"] for rule in group["rules"]}


def test_without_the_canary_there_are_no_alerts_about_it(render: Render) -> None:
    objects = render("prometheusRule.enabled=true", "triton.canarySeconds=0")
    (group,) = objects["PrometheusRule"]["spec"]["groups"]
    assert not [rule["alert"] for rule in group["rules"] if "canary" in rule["expr"]]


def test_grafana_gets_the_dashboard_unchanged(render: Render, dashboard: dict[str, Any]) -> None:
    board = render("dashboard.enabled=true")["ConfigMap"]
    assert json.loads(board["data"]["embedtune.json"]) == dashboard
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
