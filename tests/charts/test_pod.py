"""A serving pod downloads a release, starts Triton, then the gateway, and stops without a failed request."""

import importlib.util
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from embedtune.core.config.deploy import DeploySettings
from embedtune.deploy.site import GATEWAY_PORT
from embedtune.serve import pod
from embedtune.serve.gateway.__main__ import main as gateway
from embedtune.serve.gateway.server import FINISH_S
from embedtune.serve.gateway.tracing import wanted
from embedtune.serve.triton.traces import trace_flags
from tests.charts.conftest import Objects, Render, containers, environment, pod_spec

KEY = "-----BEGIN PUBLIC KEY-----"


def test_triton_starts_and_then_the_gateway(render: Render) -> None:
    spec = pod_spec(render())
    assert [item["name"] for item in spec["initContainers"]] == ["triton"]
    assert [item["name"] for item in spec["containers"]] == ["gateway"]
    # An init container that restarts is a sidecar: the next one waits for its start, not for its end.
    assert [item.get("restartPolicy") for item in spec["initContainers"]] == ["Always"]


def test_every_container_runs_a_module_that_exists(render: Render) -> None:
    commands = {name: item["command"] for name, item in containers(render()).items()}
    assert set(commands) == {"triton", "gateway"}
    for command in commands.values():
        assert command[:2] == ["python", "-m"]
        assert importlib.util.find_spec(command[2]) is not None


def test_the_replica_gets_the_variables_it_reads(render: Render) -> None:
    given = environment(containers(render("storage.region=eu-1", f"release.publicKey={KEY}"))["triton"])
    read = set(re.findall(r'"(EMBEDTUNE_\w+)"', Path(pod.__file__).read_text()))
    assert {name for name in given if name.startswith("EMBEDTUNE_")} == read
    assert given["EMBEDTUNE_RELEASES"] == "s3://embedtune/releases"
    assert given["EMBEDTUNE_S3_ENDPOINT"] == "minio.store:9000"
    assert given["EMBEDTUNE_S3_SECURE"] == "true"
    assert given["EMBEDTUNE_TARGET"] == "python-cpu"
    assert given["EMBEDTUNE_RELEASE_KEY"] == KEY
    assert given["AWS_ACCESS_KEY_ID"] == {"secretKeyRef": {"name": "embedtune-storage", "key": "access-key"}}
    assert given["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "embedtune-storage", "key": "secret-key"}}
    token = {"secretKeyRef": {"name": "embedtune-storage", "key": "session-token", "optional": True}}
    assert given["AWS_SESSION_TOKEN"] == token


def test_releases_are_kept_on_a_volume_that_outlives_the_pod_if_there_is_one(render: Render) -> None:
    objects = render("release.cache.persistentVolumeClaim.claimName=releases", "release.withoutStoreHours=2")
    assert {"name": "cache", "persistentVolumeClaim": {"claimName": "releases"}} in pod_spec(objects)["volumes"]
    triton, gateway = (containers(objects)[name] for name in ("triton", "gateway"))
    assert {"name": "cache", "mountPath": "/cache"} in triton["volumeMounts"]
    assert "/cache" not in str(gateway)  # it reads the pod's own copies
    given = pod.main.make_context("pod", [*triton["command"][3:], *triton["args"]]).params
    assert (given["cache"], given["without_store_hours"]) == (Path("/cache"), 2.0)


def test_without_such_a_volume_only_the_pods_own_folder_is_used(render: Render) -> None:
    objects = render()
    triton = containers(objects)["triton"]
    given = pod.main.make_context("pod", [*triton["command"][3:], *triton["args"]]).params
    assert (given["cache"], given["without_store_hours"]) == (None, 24.0)
    assert "cache" not in {volume["name"] for volume in pod_spec(objects)["volumes"]}


def test_with_workload_identity_there_are_no_keys(render: Render) -> None:
    annotation = r"serviceAccount.annotations.eks\.amazonaws\.com/role-arn=arn:aws:iam::1:role/serving"
    objects = render("storage.secret=", annotation)
    assert not [name for name in environment(containers(objects)["triton"]) if name.startswith("AWS_")]
    account = objects["ServiceAccount"]["metadata"]
    assert account["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/serving"}
    assert pod_spec(objects)["serviceAccountName"] == account["name"]
    own = render("serviceAccount.create=false", "serviceAccount.name=mine")
    assert "ServiceAccount" not in own
    assert pod_spec(own)["serviceAccountName"] == "mine"


def test_a_private_ca_is_mounted_where_the_store_is_read(render: Render) -> None:
    objects = render("storage.caSecret=store-ca")
    download = containers(objects)["triton"]
    assert environment(download)["AWS_CA_BUNDLE"] == "/etc/embedtune/storage-ca/ca.crt"
    mount = {"name": "storage-ca", "mountPath": "/etc/embedtune/storage-ca", "readOnly": True}
    assert mount in download["volumeMounts"]
    assert {"name": "storage-ca", "secret": {"secretName": "store-ca"}} in pod_spec(objects)["volumes"]


def test_extra_variables_and_volumes_reach_every_container(render: Render) -> None:
    objects = render(
        "extraEnv[0].name=HTTPS_PROXY",
        "extraEnv[0].value=http://proxy:3128",
        "extraVolumes[0].name=mine",
        "extraVolumes[0].emptyDir.sizeLimit=1Gi",
        "extraVolumeMounts[0].name=mine",
        "extraVolumeMounts[0].mountPath=/mine",
    )
    assert {"name": "mine", "emptyDir": {"sizeLimit": "1Gi"}} in pod_spec(objects)["volumes"]
    for item in containers(objects).values():
        assert environment(item)["HTTPS_PROXY"] == "http://proxy:3128"
        assert {"name": "mine", "mountPath": "/mine"} in item["volumeMounts"]


def test_the_gateway_understands_its_options(render: Render) -> None:
    arguments = containers(render("model=handbook", "gateway.args[0]=--max-inputs=9"))["gateway"]["args"]
    given = gateway.make_context("gateway", arguments).params
    assert (given["host"], given["port"], given["triton"]) == ("0.0.0.0", 8080, "127.0.0.1:8001")
    assert given["metrics_port"] == 8081
    assert (given["model"], given["max_inputs"], given["drain"]) == ("handbook", 9, 10.0)


def test_the_gateway_has_no_credentials_of_the_store_and_cannot_change_what_it_reads(render: Render) -> None:
    found = containers(render())
    assert "embedtune-storage" not in str(found["gateway"])
    shared = {name: item["volumeMounts"][0] for name, item in found.items()}
    assert shared == {
        "triton": {"name": "release", "mountPath": "/release"},
        "gateway": {"name": "release", "mountPath": "/release", "readOnly": True},
    }
    assert found["triton"]["command"][-1] == "/release"
    assert "--serving=/release" in found["gateway"]["args"]


def test_deploy_and_the_chart_agree_on_names(render: Render) -> None:
    objects = render()
    assert objects["Deployment"]["metadata"]["name"] == DeploySettings().deployment
    assert objects["Service"]["metadata"]["name"] == DeploySettings().deployment
    assert objects["Service"]["spec"]["ports"][0]["port"] == GATEWAY_PORT


def test_nothing_in_the_chart_names_a_release_or_gives_rights(render: Render) -> None:
    # So that a deployment changes nothing that Helm, Argo CD or Flux compare.
    assert not {"Role", "RoleBinding", "ClusterRole"} & set(render())
    assert "annotations" not in render()["Deployment"]["spec"]["template"]["metadata"]


def test_a_failed_start_says_why_in_the_pods_status(render: Render) -> None:
    for item in containers(render()).values():
        assert item["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_a_pod_is_ready_when_triton_and_the_gateway_are(render: Render) -> None:
    found = containers(render("triton.startupSeconds=90"))
    triton, gateway = found["triton"], found["gateway"]
    assert "GET /v2/health/ready HTTP/1.0" in triton["startupProbe"]["exec"]["command"][2]
    assert triton["startupProbe"]["periodSeconds"] * triton["startupProbe"]["failureThreshold"] == 90
    assert "readinessProbe" not in triton  # the gateway asks for the live release
    assert "GET /v2/health/live HTTP/1.0" in triton["livenessProbe"]["exec"]["command"][2]
    assert gateway["readinessProbe"]["httpGet"] == {"path": "/health", "port": 8080}
    # Not /health: a gateway is not broken because Triton is.
    assert gateway["livenessProbe"]["httpGet"] == {"path": "/health/live", "port": 8080}


@pytest.mark.parametrize(("status", "passes"), [(200, True), (400, False), (None, False)])
def test_the_probe_of_triton_asks_it_inside_the_pod(render: Render, status: int | None, passes: bool) -> None:
    class Triton(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/v2/health/live" else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    command = containers(render())["triton"]["livenessProbe"]["exec"]["command"]
    with HTTPServer(("127.0.0.1", 0), Triton) as server:
        port = server.server_port if status else 9
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run([*command[:2], command[2].replace("/8000", f"/{port}")], check=False)
        server.shutdown()
    assert (done.returncode == 0) is passes


def test_a_pod_that_ends_still_answers_until_proxies_know_and_requests_are_done(render: Render) -> None:
    objects = render("drainSeconds=7")
    assert "--drain=7" in containers(objects)["gateway"]["args"]
    # Triton is a sidecar: it gets SIGTERM after the gateway has stopped, and needs time as well.
    assert pod_spec(objects)["terminationGracePeriodSeconds"] == 7 + FINISH_S + 15


def test_a_rollout_removes_no_pod_before_another_is_ready(render: Render) -> None:
    assert render()["Deployment"]["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


def test_the_gateway_needs_a_key_only_if_a_secret_is_named(render: Render) -> None:
    assert "env" not in containers(render())["gateway"]
    objects = render("gateway.apiKeySecret=embedtune-endpoint")
    wanted = {"secretKeyRef": {"name": "embedtune-endpoint", "key": "api-key"}}
    assert environment(containers(objects)["gateway"])["EMBEDTUNE_API_KEY"] == wanted
    assert environment(objects["Pod"]["spec"]["containers"][0])["EMBEDTUNE_API_KEY"] == wanted


@pytest.mark.parametrize("files", [(), ("values-small.yaml",), ("values-gpu.yaml",)])
def test_pods_meet_the_pod_security_standard_restricted(render: Render, files: tuple[str, ...]) -> None:
    objects = render(files=files)
    for spec in (pod_spec(objects), objects["Pod"]["spec"]):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert all(set(volume) == {"name", "emptyDir"} for volume in spec.get("volumes", []))
        for item in [*spec.get("initContainers", []), *spec["containers"]]:
            assert item["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_cpu_mode_requests_no_gpu(render: Render) -> None:
    objects = render()
    assert "nvidia.com/gpu" not in str(objects)
    assert "tolerations" not in pod_spec(objects)


def test_gpu_mode_gives_triton_its_gpus_and_tolerates_gpu_nodes(render: Render) -> None:
    objects = render(
        "gpus=2", "tolerations[0].key=team", "tolerations[0].operator=Exists", files=("values-gpu.yaml",)
    )
    found = containers(objects)
    assert found["triton"]["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": 2}
    assert "nvidia.com/gpu" not in str(found["gateway"])
    assert found["triton"]["image"] == "embedtune/triton-gpu:1f0c"
    assert environment(found["triton"])["EMBEDTUNE_TARGET"] == "tensorrt"
    assert pod_spec(objects)["tolerations"] == [
        {"key": "team", "operator": "Exists"},
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    ]


def test_a_pod_with_the_small_values_requests_at_most_100_millicores(render: Render) -> None:
    found = containers(render(files=("values-small.yaml",)))
    cpu = {name: millicores(item) for name, item in found.items()}
    assert cpu["triton"] + cpu["gateway"] == 90


def millicores(container: dict[str, Any]) -> int:
    cpu = container["resources"]["requests"]["cpu"]
    assert cpu.endswith("m")
    return int(cpu.removesuffix("m"))


def test_every_mount_has_a_volume_and_every_volume_is_mounted(render: Render) -> None:
    objects: Objects = render()
    volumes = {item["name"] for item in pod_spec(objects)["volumes"]}
    mounted = {mount["name"] for item in containers(objects).values() for mount in item["volumeMounts"]}
    assert mounted == volumes == {"release", "tmp", "shm"}


def test_traces_go_to_a_collector_that_the_network_policy_lets_the_pod_reach(render: Render) -> None:
    assert "OTEL_" not in str(render()["Deployment"])
    objects = render("tracing.endpoint=http://collector.observability.svc:4318", "tracing.share=0.1")
    given = {name: environment(item) for name, item in containers(objects).items()}
    assert {item["OTEL_EXPORTER_OTLP_ENDPOINT"] for item in given.values()} == {
        "http://collector.observability.svc:4318"
    }
    assert wanted(given["gateway"])
    assert trace_flags(given["triton"])
    assert {name: item["OTEL_SERVICE_NAME"] for name, item in given.items()} == {
        "gateway": "embedtune-triton",
        "triton": "embedtune-triton-server",
    }
    sampler = given["gateway"]["OTEL_TRACES_SAMPLER"], given["gateway"]["OTEL_TRACES_SAMPLER_ARG"]
    assert sampler == ("parentbased_traceidratio", "0.1")
    rule = {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}}]}
    assert rule in objects["NetworkPolicy"]["spec"]["egress"]
    grace = {
        name: pod_spec(found)["terminationGracePeriodSeconds"] for name, found in (("a", render()), ("b", objects))
    }
    assert grace["b"] - grace["a"] == 10  # in which spans are sent at the end


def test_a_collector_outside_is_reached_at_its_port_or_at_the_named_peers(render: Render) -> None:
    outside = "tracing.endpoint=https://collector.example.org"
    assert {"ports": [{"port": 443, "protocol": "TCP"}]} in render(outside)["NetworkPolicy"]["spec"]["egress"]
    named = render(outside, "networkPolicy.collector[0].ipBlock.cidr=192.0.2.7/32")
    assert {"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}]} in named["NetworkPolicy"]["spec"]["egress"]


def test_the_replica_understands_its_options(render: Render) -> None:
    item = containers(render("triton.canarySeconds=60"))["triton"]
    given = pod.main.make_context("pod", [*item["command"][3:], *item["args"]]).params
    assert (str(given["folder"]), given["canary_seconds"]) == ("/release", 60.0)
