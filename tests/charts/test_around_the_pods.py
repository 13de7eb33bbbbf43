"""Objects around the serving pods: Service, autoscaler, disruption budget, network policy, monitoring, RBAC."""

import subprocess

import pytest

from tests.charts.conftest import Render, find_tool, template

SELECTOR = {
    "app.kubernetes.io/name": "triton",
    "app.kubernetes.io/instance": "embedtune",
    "app.kubernetes.io/component": "server",
}
EVERYTHING = (
    "autoscaling.enabled=true",
    "serviceMonitor.enabled=true",
    "service.triton=true",
    "gateway.apiKeySecret=endpoint",
    "deployers[0].name=pipeline-runner",
    "deployers[0].namespace=kubeflow",
    "networkPolicy.clients[0].namespaceSelector.matchLabels.team=search",
    "networkPolicy.scrapers[0].namespaceSelector.matchLabels.team=monitoring",
    "networkPolicy.storage[0].namespaceSelector.matchLabels.team=storage",
    "image.pullSecrets[0]=registry",
    "priorityClassName=high",
    "nodeSelector.pool=cpu",
)


def test_every_selector_matches_the_serving_pods_and_no_others(render: Render) -> None:
    objects = render(*EVERYTHING)
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"] == SELECTOR
    assert objects["Service"]["spec"]["selector"] == SELECTOR
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == SELECTOR
    assert objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == SELECTOR
    assert labels.items() >= SELECTOR.items()
    assert not objects["Pod"]["metadata"]["labels"].items() >= SELECTOR.items()


def test_a_user_label_does_not_replace_a_selector_label(render: Render) -> None:
    objects = render(r"podLabels.app\.kubernetes\.io/component=mine", "podLabels.team=search")
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels == {**SELECTOR, "team": "search"}


def test_all_objects_are_in_the_namespace_of_the_installation(render: Render) -> None:
    for item in render(*EVERYTHING).values():
        assert item["metadata"]["namespace"] == "serving"


def test_only_one_of_autoscaler_and_deployment_sets_the_number_of_pods(render: Render) -> None:
    fixed, scaled = render("replicas=3"), render("autoscaling.enabled=true")
    assert fixed["Deployment"]["spec"]["replicas"] == 3
    assert "HorizontalPodAutoscaler" not in fixed
    assert "replicas" not in scaled["Deployment"]["spec"]
    target = scaled["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "embedtune-triton"}


@pytest.mark.parametrize(
    ("metric", "apis", "chosen"),
    [
        ("auto", (), "ContainerResource"),
        ("auto", ("custom.metrics.k8s.io/v1beta1",), "Pods"),
        ("cpu", ("custom.metrics.k8s.io/v1beta1",), "ContainerResource"),
        ("queue", (), "Pods"),
    ],
)
def test_the_autoscaler_uses_queue_time_or_if_that_is_unknown_cpu(
    render: Render, metric: str, apis: tuple[str, ...], chosen: str
) -> None:
    objects = render("autoscaling.enabled=true", f"autoscaling.metric={metric}", apis=apis)
    (found,) = objects["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert found["type"] == chosen
    if chosen == "Pods":
        assert found["pods"]["metric"] == {"name": "triton_queue_ms"}
        assert found["pods"]["target"] == {"type": "AverageValue", "averageValue": "20"}
    else:
        assert found["containerResource"]["container"] == "triton"


def test_the_disruption_budget_allows_draining_a_node_even_with_one_pod(render: Render) -> None:
    spec = render("replicas=1")["PodDisruptionBudget"]["spec"]
    assert spec["maxUnavailable"] == 1
    assert "minAvailable" not in spec
    assert "PodDisruptionBudget" not in render("podDisruptionBudget.enabled=false")


def test_only_the_gateway_can_be_reached_from_outside_a_pod(render: Render) -> None:
    objects = render()
    assert [port["name"] for port in objects["Service"]["spec"]["ports"]] == ["http"]
    assert objects["NetworkPolicy"]["spec"]["ingress"] == [{"ports": [{"port": "http"}]}]


def test_a_pod_reaches_only_dns_and_the_object_store(render: Render) -> None:
    names = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    assert render()["NetworkPolicy"]["spec"]["egress"] == [names, {"ports": [{"port": 9000}]}]
    named = render(*EVERYTHING)["NetworkPolicy"]["spec"]["egress"]
    assert named == [names, {"to": [{"namespaceSelector": {"matchLabels": {"team": "storage"}}}]}]


@pytest.mark.parametrize(("secure", "port"), [("true", 443), ("false", 80)])
def test_a_storage_endpoint_without_a_port_has_the_default_port_of_its_scheme(
    render: Render, secure: str, port: int
) -> None:
    objects = render("storage.endpoint=s3.example.org", f"storage.secure={secure}")
    assert objects["NetworkPolicy"]["spec"]["egress"][1] == {"ports": [{"port": port}]}


def test_only_named_clients_named_scrapers_and_the_helm_test_have_access(render: Render) -> None:
    clients, scrapers = render(*EVERYTHING)["NetworkPolicy"]["spec"]["ingress"]
    assert clients["ports"] == [{"port": "http"}, {"port": "triton-http"}, {"port": "triton-grpc"}]
    tests = {"app.kubernetes.io/instance": "embedtune", "app.kubernetes.io/component": "test"}
    assert clients["from"] == [
        {"namespaceSelector": {"matchLabels": {"team": "search"}}},
        {"podSelector": {"matchLabels": tests}},
    ]
    assert render()["Pod"]["metadata"]["labels"].items() >= tests.items()
    assert scrapers["ports"] == [{"port": "http"}, {"port": "metrics"}]
    assert scrapers["from"] == [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}]


def test_prometheus_scrapes_the_gateway_and_triton_through_the_service(render: Render) -> None:
    assert "ServiceMonitor" not in render()
    objects = render("serviceMonitor.enabled=true", "serviceMonitor.labels.release=prometheus")
    monitor, ports = objects["ServiceMonitor"], objects["Service"]["spec"]["ports"]
    assert [item["port"] for item in monitor["spec"]["endpoints"]] == ["http", "metrics"]
    assert {item["port"] for item in monitor["spec"]["endpoints"]} <= {port["name"] for port in ports}
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert objects["Service"]["metadata"]["labels"].items() >= monitor["spec"]["selector"]["matchLabels"].items()


def test_deploy_may_change_this_deployment_and_nothing_else(render: Render) -> None:
    assert "Role" not in render()
    objects = render("deployers[0].name=pipeline-runner", "deployers[0].namespace=kubeflow")
    assert objects["Role"]["rules"] == [
        {
            "apiGroups": ["apps"],
            "resources": ["deployments"],
            "resourceNames": ["embedtune-triton"],
            "verbs": ["get", "patch"],
        },
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    ]
    assert objects["RoleBinding"]["subjects"] == [
        {"kind": "ServiceAccount", "name": "pipeline-runner", "namespace": "kubeflow"}
    ]


@pytest.mark.parametrize(
    ("settings", "files"), [((), ()), (EVERYTHING, ()), ((), ("values-small.yaml",)), ((), ("values-gpu.yaml",))]
)
def test_manifests_are_valid_kubernetes(helm: str, settings: tuple[str, ...], files: tuple[str, ...]) -> None:
    kubeconform = find_tool("kubeconform")
    if kubeconform is None:
        pytest.skip("kubeconform is not installed")
    manifests = template(helm, *settings, files=files)
    command = [kubeconform, "-strict", "-skip", "ServiceMonitor"]
    done = subprocess.run(command, input=manifests, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
