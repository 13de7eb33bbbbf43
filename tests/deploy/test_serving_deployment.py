"""Rollouts of the serving Deployment: the real Kubernetes client against a fake API over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedtune.core.errors import ConfigError, GateError, InputError
from embedtune.deploy import kubernetes as module
from embedtune.deploy.kubernetes import ServingDeployment
from tests.support.fake_kubernetes import FakeCluster, serve
from tests.support.serving_world import make_release

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
clusters: [{{name: test, cluster: {{server: "{server}"}}}}]
users: [{{name: test, user: {{}}}}]
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    monkeypatch.setattr(module, "POLL_S", 0.01)
    cluster = FakeCluster()
    with serve(cluster) as address:
        file = tmp_path / "kubeconfig"
        file.write_text(KUBECONFIG.format(server=address))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
        yield cluster


def deployment(timeout_s: float = 5, *, owned: bool = True) -> ServingDeployment:
    return ServingDeployment("serving", "embedtune-triton", timeout_s, owned=owned)


def test_a_switch_changes_the_release_of_the_template_and_nothing_else(cluster: FakeCluster) -> None:
    serving = deployment()
    assert serving.current() is None
    serving.restore("abc")
    assert serving.current() == "abc"
    template = {
        "metadata": {"annotations": {"embedtune.dev/release": "abc"}},
        "spec": {"initContainers": [{"name": "release", "env": [{"name": "EMBEDTUNE_RELEASE", "value": "abc"}]}]},
    }
    assert cluster.patches == [{"spec": {"template": template}}]
    (query,) = cluster.queries
    assert query == (
        "/apis/apps/v1/namespaces/serving/deployments/embedtune-triton?fieldManager=embedtune-deploy "
        "application/strategic-merge-patch+json"
    )


def test_a_switch_sets_the_id_of_the_release(cluster: FakeCluster, tmp_path: Path) -> None:
    release = make_release(tmp_path, "one")
    deployment().switch(release)
    assert deployment().current() == release.id


def test_a_switch_returns_only_when_all_pods_are_new(cluster: FakeCluster) -> None:
    cluster.slow = 5
    deployment().restore("abc")
    assert cluster.waits == 0


def test_a_switch_returns_only_when_no_old_pod_can_answer_any_more(cluster: FakeCluster) -> None:
    cluster.ending = 3
    deployment().restore("abc")
    assert cluster.ending == 0


def test_a_download_that_keeps_failing_fails_the_rollout_with_its_own_message(cluster: FakeCluster) -> None:
    cluster.broken.add("abc")
    with pytest.raises(GateError, match=r"new-1: release ended 3 times: release is damaged in the store"):
        deployment(timeout_s=60).restore("abc")


def test_a_rollout_that_takes_too_long_fails_and_reports_what_it_waited_for(cluster: FakeCluster) -> None:
    cluster.slow = 10_000
    with pytest.raises(GateError, match=r"1 of 2 pods are new after 0 s"):
        deployment(timeout_s=0.1).restore("abc")


def test_a_rollout_that_the_controller_gave_up_on_is_not_waited_for(cluster: FakeCluster) -> None:
    cluster.slow, cluster.stuck = 10_000, True
    with pytest.raises(GateError, match="1 of 2 pods are new"):
        deployment(timeout_s=60).restore("abc")
    assert cluster.waits > 9_000


def test_a_withdrawn_release_answers_no_client_and_the_deployment_waits_for_a_release(
    cluster: FakeCluster,
) -> None:
    serving = deployment()
    serving.restore("abc")
    serving.withdraw()
    assert cluster.answering == ""
    assert serving.current() is None
    assert cluster.max_unavailable == 0
    serving.restore("def")
    assert cluster.answering == "def"


def test_pods_that_do_not_end_fail_a_withdrawal_which_still_resets_the_strategy(
    cluster: FakeCluster,
) -> None:
    deployment().restore("abc")
    cluster.hanging = True
    with pytest.raises(GateError, match=r"still answer(.|\n)*left-1 with abc(.|\n)*--replicas 0"):
        deployment(timeout_s=0.1).withdraw()
    assert cluster.max_unavailable == 0


def test_a_release_owned_by_the_values_is_waited_for_and_never_changed(cluster: FakeCluster) -> None:
    cluster.release, cluster.waits = "abc", 3
    serving = deployment(owned=False)
    serving.restore("abc")
    with pytest.raises(InputError, match=r"values own(.|\n)*abc(.|\n)*def"):
        serving.restore("def")
    assert cluster.patches == []


@pytest.mark.parametrize(("status", "fix"), [(403, "rbac"), (404, r"deploy\.deployment")])
def test_a_refusal_by_the_cluster_says_what_to_do(cluster: FakeCluster, status: int, fix: str) -> None:
    cluster.status = status
    with pytest.raises(InputError, match=rf"serving/embedtune-triton(.|\n)*{status}(.|\n)*{fix}"):
        deployment().restore("abc")


def test_a_machine_without_a_cluster_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="no cluster"):
        deployment()
