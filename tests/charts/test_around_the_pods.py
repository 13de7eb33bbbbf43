"""Objects around the serving pods: Service, autoscaler, disruption budget, network policy, monitoring."""

import subprocess

import pytest

from embedtune.serve.pod import open_addresses
from tests.charts.conftest import Render, containers, environment, find_tool, pod_spec, template

SELECTOR = {
    "app.kubernetes.io/name": "triton",
    "app.kubernetes.io/instance": "embedtune",
    "app.kubernetes.io/component": "server",
}
EVERYTHING = (
    "autoscaling.enabled=true",
    "serviceMonitor.enabled=true",
    "prometheusRule.enabled=true",
    "storage.caSecret=ca",
    "extraVolumes[0].name=mine",
    "extraVolumes[0].emptyDir.sizeLimit=1Gi",
    "extraVolumeMounts[0].name=mine",
    "extraVolumeMounts[0].mountPath=/mine",
    "extraEnv[0].name=HTTPS_PROXY",
    "extraEnv[0].value=http://proxy:3128",
    "triton.open={grpc,http}",
    "gateway.apiKeySecret=endpoint",
    "networkPolicy.clients[0].namespaceSelector.matchLabels.team=search",
    "networkPolicy.scrapers[0].namespaceSelector.matchLabels.team=monitoring",
    "networkPolicy.storage[0].namespaceSelector.matchLabels.team=storage",
    "image.pullSecrets[0]=registry",
    "priorityClassName=high",
    "nodeSelector.pool=cpu",
    "gateway.tlsSecret=tls",
    "ingress.enabled=true",
    "ingress.host=embedtune.example.org",
    "ingress.annotations.a=b",
    "ingress.tlsSecret=cert",
)


def tcp(port: int) -> dict[str, int | str]:
    return {"port": port, "protocol": "TCP"}


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
        ("load", (), "Pods"),
    ],
)
def test_the_autoscaler_uses_the_load_or_if_that_is_unknown_cpu(
    render: Render, metric: str, apis: tuple[str, ...], chosen: str
) -> None:
    objects = render("autoscaling.enabled=true", f"autoscaling.metric={metric}", apis=apis)
    (found,) = objects["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert found["type"] == chosen
    if chosen == "Pods":
        assert found["pods"]["metric"] == {"name": "embedtune_gateway_pending_tokens"}
        assert found["pods"]["target"] == {"type": "AverageValue", "averageValue": "32768"}
    else:
        assert found["containerResource"]["container"] == "triton"


def test_turning_the_autoscaler_on_removes_no_pod(render: Render) -> None:
    four = ("replicas=4", "autoscaling.enabled=true")
    assert render(*four)["HorizontalPodAutoscaler"]["spec"]["minReplicas"] == 4
    assert render(*four, "autoscaling.min=1")["HorizontalPodAutoscaler"]["spec"]["minReplicas"] == 1
    with pytest.raises(ValueError, match=r"autoscaling\.max: 8 is less than the fewest pods, 9"):
        render("replicas=9", "autoscaling.enabled=true")


def test_keda_scales_on_a_query_that_is_0_and_never_nan_without_load(render: Render) -> None:
    keda = (
        "autoscaling.enabled=true",
        "autoscaling.by=keda",
        "autoscaling.keda.prometheus=http://prometheus:9090",
    )
    objects = render(*keda)
    assert "HorizontalPodAutoscaler" not in objects
    spec = objects["ScaledObject"]["spec"]
    assert spec["scaleTargetRef"] == {"name": "embedtune-triton"}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 8)
    (load,) = spec["triggers"]
    where = '{namespace="serving",service="embedtune-triton"}'
    assert load["metadata"] == {
        "serverAddress": "http://prometheus:9090",
        "query": f"sum(embedtune_gateway_pending_tokens{where}) or vector(0)",
        "threshold": "32768",
    }
    assert "replicas" not in objects["Deployment"]["spec"]
    woken = render(*keda, "autoscaling.min=0", "autoscaling.keda.wake=rate(asked[1m])")["ScaledObject"]["spec"]
    assert woken["minReplicaCount"] == 0
    assert woken["triggers"][1]["metadata"]["query"] == "clamp_max(max(rate(asked[1m])), 1) or vector(0)"


@pytest.mark.parametrize("settings", [(), ("autoscaling.by=keda", "autoscaling.keda.prometheus=http://p:9090")])
def test_scaling_to_zero_needs_something_that_counts_requests_without_pods(
    render: Render, settings: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=r"autoscaling\.min: 0 needs"):
        render("autoscaling.enabled=true", "autoscaling.min=0", *settings)


def test_pods_are_spread_over_nodes_and_zones(render: Render) -> None:
    spread = pod_spec(render("topologySpread=DoNotSchedule"))["topologySpreadConstraints"]
    assert [item["topologyKey"] for item in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    for item in spread:
        assert item["whenUnsatisfiable"] == "DoNotSchedule"
        assert item["labelSelector"]["matchLabels"] == SELECTOR


def test_the_disruption_budget_allows_draining_a_node_even_with_one_pod(render: Render) -> None:
    spec = render("replicas=1")["PodDisruptionBudget"]["spec"]
    assert spec["maxUnavailable"] == 1
    assert "minAvailable" not in spec
    assert "PodDisruptionBudget" not in render("podDisruptionBudget.enabled=false")


def test_only_the_gateway_can_be_reached_from_outside_a_pod(render: Render) -> None:
    objects = render()
    assert [port["name"] for port in objects["Service"]["spec"]["ports"]] == ["http"]
    assert objects["NetworkPolicy"]["spec"]["ingress"] == [{"ports": [tcp(8080)]}]
    assert environment(containers(objects)["triton"])["EMBEDTUNE_TRITON_OPEN"] == ""


@pytest.mark.parametrize(
    ("opened", "ports"),
    [("{grpc}", {"triton-grpc": 8001}), ("{grpc,http}", {"triton-http": 8000, "triton-grpc": 8001})],
)
def test_one_value_opens_tritons_ports(render: Render, opened: str, ports: dict[str, int]) -> None:
    objects = render(f"triton.open={opened}")
    service = {port["name"]: port["targetPort"] for port in objects["Service"]["spec"]["ports"]}
    assert service == {"http": 8080, **ports}
    (rule,) = objects["NetworkPolicy"]["spec"]["ingress"]
    assert rule == {"ports": [tcp(8080), *map(tcp, ports.values())]}
    variable = environment(containers(objects)["triton"])["EMBEDTUNE_TRITON_OPEN"]
    assert f"{{{variable}}}" == opened
    open_addresses({"EMBEDTUNE_TRITON_OPEN": variable})


def test_no_port_is_named_since_names_of_a_sidecars_ports_need_kubernetes_1_32(render: Render) -> None:
    objects = render(*EVERYTHING)
    assert all(isinstance(port["targetPort"], int) for port in objects["Service"]["spec"]["ports"])
    rules = objects["NetworkPolicy"]["spec"]
    for rule in [*rules["ingress"], *rules["egress"]]:
        assert all(isinstance(port["port"], int) for port in rule.get("ports", []))
    for item in containers(objects).values():
        probes = [item.get(f"{kind}Probe", {}) for kind in ("startup", "readiness", "liveness")]
        assert all(isinstance(probe["httpGet"]["port"], int) for probe in probes if "httpGet" in probe)


def test_a_pod_reaches_only_dns_and_the_object_store(render: Render) -> None:
    names = {
        "ports": [{"port": 53, "protocol": "UDP"}, tcp(53)],
        "to": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},
            {"ipBlock": {"cidr": "169.254.20.10/32"}},
        ],
    }
    assert render()["NetworkPolicy"]["spec"]["egress"] == [names, {"ports": [tcp(9000)]}]
    named = render(*EVERYTHING)["NetworkPolicy"]["spec"]["egress"]
    assert named == [names, {"to": [{"namespaceSelector": {"matchLabels": {"team": "storage"}}}]}]


@pytest.mark.parametrize(("secure", "port"), [("true", 443), ("false", 80)])
def test_a_storage_endpoint_without_a_port_has_the_default_port_of_its_scheme(
    render: Render, secure: str, port: int
) -> None:
    objects = render("storage.endpoint=s3.example.org", f"storage.secure={secure}")
    assert objects["NetworkPolicy"]["spec"]["egress"][1] == {"ports": [tcp(port)]}


@pytest.mark.parametrize(
    ("endpoint", "rule"),
    [
        (
            "10.1.2.3:9000",
            {"ports": [{"port": 9000, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]},
        ),
        # The store's pods may listen on another port than their Service.
        (
            "minio.store.svc:80",
            {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "store"}}}]},
        ),
        (
            "minio.store.svc.cluster.local:9000",
            {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "store"}}}]},
        ),
        ("s3.example.org:9000", {"ports": [{"port": 9000, "protocol": "TCP"}]}),
    ],
)
def test_the_object_store_is_recognised_by_its_address(
    render: Render, endpoint: str, rule: dict[str, object]
) -> None:
    objects = render(f"storage.endpoint={endpoint}")
    assert objects["NetworkPolicy"]["spec"]["egress"][1:] == [rule]


def test_more_egress_can_be_allowed(render: Render) -> None:
    objects = render("networkPolicy.egress[0].ports[0].port=3128")
    assert objects["NetworkPolicy"]["spec"]["egress"][2:] == [{"ports": [{"port": 3128}]}]


def test_metrics_do_not_open_the_api_to_everybody_when_clients_are_named(render: Render) -> None:
    named = ("serviceMonitor.enabled=true", "networkPolicy.clients[0].podSelector.matchLabels.app=search")
    api, metrics = render(*named)["NetworkPolicy"]["spec"]["ingress"]
    assert api["ports"] == [tcp(8080)]
    assert api["from"][0] == {"podSelector": {"matchLabels": {"app": "search"}}}
    assert metrics == {"ports": [tcp(8081), tcp(8002)]}


def test_only_named_clients_named_scrapers_and_the_helm_test_have_access(render: Render) -> None:
    clients, scrapers = render(*EVERYTHING)["NetworkPolicy"]["spec"]["ingress"]
    assert clients["ports"] == [tcp(8080), tcp(8000), tcp(8001)]
    tests = {"app.kubernetes.io/instance": "embedtune", "app.kubernetes.io/component": "test"}
    assert clients["from"] == [
        {"namespaceSelector": {"matchLabels": {"team": "search"}}},
        {"podSelector": {"matchLabels": tests}},
    ]
    assert render()["Pod"]["metadata"]["labels"].items() >= tests.items()
    assert scrapers["ports"] == [tcp(8081), tcp(8002)]
    assert scrapers["from"] == [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}]


def test_prometheus_scrapes_the_gateway_and_triton_through_the_service(render: Render) -> None:
    assert "ServiceMonitor" not in render()
    objects = render("serviceMonitor.enabled=true", "serviceMonitor.labels.release=prometheus")
    monitor, ports = objects["ServiceMonitor"], objects["Service"]["spec"]["ports"]
    assert [item["port"] for item in monitor["spec"]["endpoints"]] == ["gateway-metrics", "metrics"]
    assert {item["port"] for item in monitor["spec"]["endpoints"]} <= {port["name"] for port in ports}
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert objects["Service"]["metadata"]["labels"].items() >= monitor["spec"]["selector"]["matchLabels"].items()


@pytest.mark.parametrize(
    ("settings", "files"), [((), ()), (EVERYTHING, ()), ((), ("values-small.yaml",)), ((), ("values-gpu.yaml",))]
)
def test_manifests_are_valid_kubernetes(helm: str, settings: tuple[str, ...], files: tuple[str, ...]) -> None:
    kubeconform = find_tool("kubeconform")
    if kubeconform is None:
        pytest.skip("kubeconform is not installed")
    manifests = template(helm, *settings, files=files)
    command = [kubeconform, "-strict", "-skip", "ServiceMonitor,PrometheusRule"]
    done = subprocess.run(command, input=manifests, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
