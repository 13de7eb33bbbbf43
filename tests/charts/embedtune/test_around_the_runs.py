"""Objects around the runs: service accounts and their rights, network policies, Pod Security, valid manifests."""

import subprocess
from functools import cache
from typing import Any

import pytest

from pipelines.compile import COMPILED
from pipelines.resources import NEEDS
from tests.charts.conftest import find_tool
from tests.charts.embedtune.conftest import (
    A_RUN,
    Objects,
    Render,
    container,
    load_all,
    of_kind,
    pod_spec,
    run_job,
    template,
)

DNS = {
    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
    "to": [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},
        {"ipBlock": {"cidr": "169.254.20.10/32"}},
    ],
}
EVERYTHING = (
    "retrain.parameters.documents=s3://b/p",
    "schedule.cron=@daily",
    "kfp.multiUser=true",
    "kfp.caSecret=ca",
    "images.pullSecrets[0]=registry",
    "jobs.extraEnv[0].name=HTTPS_PROXY",
    "jobs.extraEnv[0].value=http://proxy:3128",
    "jobs.nodeSelector.pool=cpu",
    "jobs.tolerations[0].operator=Exists",
    "retrain.parameters.llm_url=http://vllm.llm.svc:8000/v1",
    "retrain.parameters.endpoint_url=http://embedtune.serving.svc:8080",
    "networkPolicy.hub[0].ports[0].port=443",
)


def namespace(name: str) -> dict[str, Any]:
    return {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}]}


def port(number: int) -> dict[str, Any]:
    return {"ports": [{"port": number, "protocol": "TCP"}]}


def egress(objects: Objects, name: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = objects["NetworkPolicy", f"embedtune-{name}"]["spec"]["egress"]
    return rules


def selected(policy: dict[str, Any], labels: dict[str, str]) -> bool:
    selector = policy["spec"]["podSelector"]
    expressions = selector.get("matchExpressions", [])
    return labels.items() >= selector["matchLabels"].items() and all(
        labels.get(item["key"]) in item["values"] for item in expressions
    )


@cache
def task_labels() -> dict[str, dict[str, str]]:
    _, platform = load_all((COMPILED / "finetune-cpu.yaml").read_text())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): about["podMetadata"]["labels"] for name, about in executors.items()}


def test_each_task_reaches_what_it_needs_and_nothing_else(render: Render) -> None:
    objects = render(*EVERYTHING, "retrain.parameters.storage_endpoint=minio.store.svc:9000")
    reached = {
        task: {
            policy["metadata"]["name"].removeprefix("embedtune-")
            for policy in of_kind(objects, "NetworkPolicy")
            if selected(policy, task_labels()[task])
        }
        for task in NEEDS["cpu"]
    }
    for task, need in NEEDS["cpu"].items():
        wanted = {"runs"}
        wanted |= {"llm"} if "llm" in need.secrets else set()
        wanted |= {"endpoint"} if "endpoint" in need.secrets else set()
        wanted |= {"hub"} if "hub" in need.secrets else set()
        assert reached[task] == wanted, task
    assert egress(objects, "runs") == [
        DNS,
        namespace("kubeflow"),
        {"ports": [*port(443)["ports"], *port(6443)["ports"]]},
        namespace("store"),
    ]
    assert egress(objects, "llm") == [namespace("llm")]
    assert egress(objects, "endpoint") == [namespace("serving")]


def test_the_jobs_that_start_runs_reach_kfp_and_the_documents(render: Render) -> None:
    objects = render()
    assert egress(objects, "starter") == [DNS, namespace("kubeflow"), namespace("store")]
    assert egress(render("retrain.parameters.documents=/d"), "starter") == [DNS, namespace("kubeflow")]
    labels = run_job(objects)["spec"]["template"]["metadata"]["labels"]
    names = [p["metadata"]["name"] for p in of_kind(objects, "NetworkPolicy") if selected(p, labels)]
    assert names == ["embedtune-starter"]


def test_nobody_may_connect_to_a_run(render: Render) -> None:
    objects = render(*EVERYTHING)
    for name in ("runs", "starter"):
        spec = objects["NetworkPolicy", f"embedtune-{name}"]["spec"]
        assert "Ingress" in spec["policyTypes"]
        assert "ingress" not in spec


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("10.1.2.3:9000", port(9000) | {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]}),
        ("minio.store.svc.cluster.local:9000", namespace("store")),
        ("minio:9000", {"to": [{"podSelector": {}}]}),
        ("s3.example.org:9000", port(9000)),
        ("s3.example.org", port(443)),
        ("", port(443)),
    ],
)
def test_the_object_store_is_recognised_by_its_address(render: Render, address: str, rule: dict[str, Any]) -> None:
    objects = render(f"retrain.parameters.storage_endpoint={address}")
    assert egress(objects, "runs")[3:] == [rule]


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://api.example.org/v1", port(443)),
        ("http://api.example.org/v1", port(80)),
        ("http://10.0.0.9:8000/v1", port(8000) | {"to": [{"ipBlock": {"cidr": "10.0.0.9/32"}}]}),
    ],
)
def test_the_llm_is_recognised_by_its_url(render: Render, url: str, rule: dict[str, Any]) -> None:
    objects = render(
        f"retrain.parameters.llm_url={url}", "retrain.parameters.judge_url=http://judge.llm.svc:8000/v1"
    )
    assert egress(objects, "llm") == [rule, namespace("llm")]


@pytest.mark.parametrize(
    "url", ["https://kfp.example.org", "http://10.0.0.1:8888", "http://ml-pipeline.kubeflow:8888"]
)
def test_kfp_behind_an_address_of_its_own_has_to_be_named_for_the_runs(render: Render, url: str) -> None:
    # Runs also need its other Services, on other ports.
    with pytest.raises(ValueError, match=r"networkPolicy\.kfp: name KFP's pods"):
        render(f"kfp.endpoint={url}")
    named = render(f"kfp.endpoint={url}", "networkPolicy.kfp[0].podSelector.matchLabels.app=kfp")
    assert egress(named, "runs")[1] == {"to": [{"podSelector": {"matchLabels": {"app": "kfp"}}}]}
    assert render(f"kfp.endpoint={url}", "networkPolicy.enabled=false")


def test_addresses_can_be_given_instead(render: Render) -> None:
    peers = {"namespaceSelector": {"matchLabels": {"team": "platform"}}}
    policy = {name: [peers] for name in ("kfp", "storage", "llm", "endpoint", "kubernetes")}
    proxy = {"ports": [{"port": 3128}]}
    objects = render(values={"networkPolicy": policy | {"egress": [proxy]}})
    assert egress(objects, "runs")[1:] == [
        {"to": [peers]},
        {"ports": [*port(443)["ports"], *port(6443)["ports"]], "to": [peers]},
        {"to": [peers]},
        proxy,
    ]
    assert egress(objects, "llm") == egress(objects, "endpoint") == [{"to": [peers]}]


def test_policies_can_be_left_to_others(render: Render) -> None:
    assert not of_kind(render("networkPolicy.enabled=false"), "NetworkPolicy")


def test_runs_may_read_two_named_objects_and_report_to_argo(render: Render) -> None:
    role = render()["Role", "embedtune-runs"]
    assert role["rules"] == [
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["kfp-launcher"], "verbs": ["get"]},
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": ["mlpipeline-minio-artifact"],
            "verbs": ["get"],
        },
    ]
    binding = render()["RoleBinding", "embedtune-runs"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "embedtune-runs", "namespace": "team"}]


def test_the_jobs_may_have_an_identity_of_the_cloud(render: Render) -> None:
    assert "annotations" not in render()["ServiceAccount", "embedtune-starter"]["metadata"]
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/a"}
    values = A_RUN | {"jobs": {"serviceAccountAnnotations": role}}
    assert render(values=values)["ServiceAccount", "embedtune-starter"]["metadata"]["annotations"] == role


def test_the_jobs_have_rights_only_where_kfp_asks_for_them(render: Render) -> None:
    assert ("Role", "embedtune-starter") not in render()
    others, runs = render("kfp.multiUser=true")["Role", "embedtune-starter"]["rules"]
    assert others["apiGroups"] == runs["apiGroups"] == ["pipelines.kubeflow.org"]
    assert others["verbs"] == ["get", "list", "create"]
    assert (runs["resources"], runs["verbs"]) == (["runs"], ["get", "list", "create", "terminate"])
    assert pod_spec(run_job(render()))["serviceAccountName"] == "embedtune-starter"


def test_a_service_account_of_ones_own_is_neither_created_nor_given_rights(render: Render) -> None:
    objects = render("runs.serviceAccount.create=false", "runs.serviceAccount.name=default-editor")
    assert [item["metadata"]["name"] for item in of_kind(objects, "ServiceAccount")] == ["embedtune-starter"]
    assert not of_kind(objects, "Role")


def test_runs_pull_their_images_with_the_secrets_of_the_service_account(render: Render) -> None:
    objects = render("images.pullSecrets[0]=registry")
    assert objects["ServiceAccount", "embedtune-runs"]["imagePullSecrets"] == [{"name": "registry"}]
    assert pod_spec(run_job(objects))["imagePullSecrets"] == [{"name": "registry"}]


def jobs(objects: Objects) -> list[dict[str, Any]]:
    return of_kind(objects, "Job") + [item["spec"]["jobTemplate"] for item in of_kind(objects, "CronJob")]


def test_pods_meet_the_pod_security_standard_restricted(render: Render) -> None:
    found = jobs(render(*EVERYTHING))
    assert len(found) == 3
    for job in found:
        spec = pod_spec(job)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        allowed = {"configMap", "emptyDir", "secret", "projected"}
        assert all(set(volume) - {"name"} <= allowed for volume in spec["volumes"])
        assert container(job)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        mounted = {mount["name"] for mount in container(job)["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_a_user_label_does_not_replace_one_that_policies_select(render: Render) -> None:
    job = run_job(render(r"jobs.podLabels.app\.kubernetes\.io/component=mine", "jobs.podLabels.team=search"))
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "starter"
    assert labels["team"] == "search"


def test_no_secret_is_in_the_chart(render: Render) -> None:
    assert not of_kind(render(*EVERYTHING), "Secret")


def test_all_objects_are_in_the_namespace_of_the_installation(render: Render) -> None:
    for item in render(*EVERYTHING, "pipeline.register=kubernetes").values():
        assert item["metadata"]["namespace"] == "team"


@pytest.mark.parametrize("settings", [(), EVERYTHING, (*EVERYTHING, "pipeline.register=kubernetes")])
def test_manifests_are_valid_kubernetes(helm: str, settings: tuple[str, ...]) -> None:
    kubeconform = find_tool("kubeconform")
    if kubeconform is None:
        pytest.skip("kubeconform is not installed")
    command = [kubeconform, "-strict", "-skip", "Pipeline,PipelineVersion"]
    manifests = template(helm, *settings)
    done = subprocess.run(command, input=manifests, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_names_fit_into_63_characters_with_the_longest_name_of_an_installation(helm: str) -> None:
    text = template(helm, *EVERYTHING, release="an-installation-with-53-characters-in-its-name-" + "x" * 6)
    names = [item["metadata"]["name"] for item in load_all(text) if item]
    assert max(map(len, names)) <= 63
    # A CronJob adds 11 characters to the names of its Jobs.
    assert all(len(name) <= 52 for name in names if name.endswith("-schedule"))
