"""One installation of the chart with all the options that need something outside of its pods."""

import hashlib
import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from embedtune.core.config.load import parse_config
from embedtune.core.progress import SilentProgress
from embedtune.deploy.rollout import go_live
from embedtune.deploy.site import open_site
from embedtune.serve.release.record import REFERENCE_FILE, Release
from tests.cluster.conftest import a_namespace, install, kubectl, publish, require_cluster
from tests.support.certificates import Authority, Certificate
from tests.support.cluster_load import Text, read_texts
from tests.support.identity_provider import AUDIENCE, Provider, identity_provider
from tests.support.minio_server import MinioServer
from tests.support.object_store import SECRETS, Bucket
from tests.support.span_collector import Collector, collecting
from tests.support.tiny_engine import make_tiny_engine
from tests.support.tiny_model import TINY_DIMENSION

SEARCH = "of the search service"  # a named key
NAME = "embedtune-triton"
TRITON_NAME = "triton.example.org"
MONITORS = "servicemonitors.monitoring.coreos.com"
# In a pod: whether it can open a connection. A policy refuses it, or drops what is sent.
REACHES = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
    print("yes")
except OSError:
    print("no")
"""


@dataclass(frozen=True)
class World:
    """The chart with one pod, and what is around it.

    Args:
        namespace: Where it is.
        url: The gateway, through its Service.
        authority: Signs the gateway's certificate, and that of the identity provider.
        release: It is live.
        texts: Each with its vector.
        bucket: For releases and feedback.
        minio: The server that keeps the bucket.
        collector: Gets the spans.
        provider: Signs access tokens.
    """

    namespace: str
    url: str
    authority: Authority
    release: Release
    texts: list[Text]
    bucket: Bucket
    minio: MinioServer
    collector: Collector
    provider: Provider

    @property
    def host(self) -> str:
        """The gateway's host name for pods."""
        return f"{NAME}.{self.namespace}.svc"

    def kubectl(self, *arguments: str) -> str:
        return kubectl("-n", self.namespace, *arguments)

    def pod(self) -> str:
        """Return the name of the pod that is not ending."""
        found = json.loads(self.kubectl("get", "pods", "-l", "app.kubernetes.io/component=server", "-o", "json"))[
            "items"
        ]
        (name,) = [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return str(name)

    def restarts(self) -> int:
        """Return how often containers of the pod have been started again."""
        status = json.loads(self.kubectl("get", "pod", self.pod(), "-o", "json"))["status"]
        return sum(one["restartCount"] for one in status["initContainerStatuses"] + status["containerStatuses"])

    def address(self, of: str) -> str:
        """Return the IP address of a pod, or the cluster's address of a Service."""
        path = ".status.podIP" if of.startswith("pod/") else ".spec.clusterIP"
        return self.kubectl("get", of, "-o", f"jsonpath={{{path}}}")

    def python(self, pod: str, code: str, *arguments: str) -> str:
        """Run Python in a pod, and return what it prints."""
        return self.kubectl("exec", pod, "--", "python", "-c", code, *arguments).strip()

    def reaches(self, pod: str, host: str, port: int) -> bool:
        """Return whether a pod can open a connection."""
        return self.python(pod, REACHES, host, str(port)) == "yes"

    def client(self) -> httpx.Client:
        """Return a client that trusts the authority."""
        return httpx.Client(base_url=self.url, verify=self.authority.trusted(), timeout=30)

    def embed(self, key: str | None = SEARCH, **headers: str) -> httpx.Response:
        """Ask for the vector of the first text."""
        sent = headers | ({"Authorization": f"Bearer {key}"} if key else {})
        body = {"model": "embedtune", "input": self.texts[0].text, "input_type": self.texts[0].kind}
        with self.client() as http:
            return http.post("/v1/embeddings", json=body, headers=sent)

    def set_keys(self, **keys: str) -> None:
        """Write the Secret with the named keys."""
        lines = [f"{name} sha256:{hashlib.sha256(key.encode()).hexdigest()}\n" for name, key in keys.items()]
        self._apply(secret("clients", keys="".join(lines).encode()))

    def set_certificate(self) -> Certificate:
        """Write the Secret with a new certificate of the gateway."""
        made = self.authority.issue("127.0.0.1", self.host)
        content = {"tls.crt": made.certificate, "tls.key": made.key}
        self._apply({**secret("gateway-tls", **content), "type": "kubernetes.io/tls"})
        return made

    def prepare(self) -> None:
        """Make what the installation refers to."""
        self.set_keys(search=SEARCH)
        self.set_certificate()
        own, trusted = self.authority.issue(TRITON_NAME), self.authority.file.read_bytes()
        self._apply(secret("triton-tls", **{"tls.crt": own.certificate, "tls.key": own.key, "ca.crt": trusted}))
        self._apply(secret("authority", **{"ca.crt": trusted}))
        claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
        self._apply({**named("v1", "PersistentVolumeClaim", "releases"), "spec": claim})
        for role in ("client", "scraper", "stranger"):
            self._apply(idle_pod(role))

    def _apply(self, what: dict[str, Any]) -> None:
        command = ["kubectl", "-n", self.namespace, "apply", "-f", "-"]
        subprocess.run(command, input=json.dumps(what), text=True, check=True, capture_output=True)


def named(version: str, kind: str, name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}}


def secret(name: str, **content: bytes) -> dict[str, Any]:
    return {**named("v1", "Secret", name), "stringData": {key: text.decode() for key, text in content.items()}}


def idle_pod(role: str) -> dict[str, Any]:
    """Return a pod that waits for commands."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    container = {
        "name": "idle",
        "image": os.environ["EMBEDTUNE_TEST_IMAGE"],
        "command": ["sleep", "infinity"],
        "securityContext": {**security, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, "enableServiceLinks": False}
    return {**named("v1", "Pod", role, role=role), "spec": spec}


def values(world: World) -> dict[str, Any]:
    """Return the options of the chart."""
    host, port = world.provider.url.removeprefix("https://").split(":")
    to_provider = {"ports": [{"port": int(port)}], "to": [{"ipBlock": {"cidr": f"{host}/32"}}]}
    return {
        "release": {"cache": {"persistentVolumeClaim": {"claimName": "releases"}}},
        "triton": {"tls": {"secret": "triton-tls", "name": TRITON_NAME}, "canarySeconds": 5},
        "gateway": {
            "tlsSecret": "gateway-tls",
            "keysSecret": "clients",
            "oidc": {"issuer": world.provider.url, "audience": AUDIENCE},
            "feedback": {"place": f"s3://{world.bucket.name}/asked"},
        },
        "tracing": {"endpoint": world.collector.url},
        "serviceMonitor": {"enabled": True},
        "networkPolicy": {
            "clients": [{"podSelector": {"matchLabels": {"role": "client"}}}],
            "scrapers": [{"podSelector": {"matchLabels": {"role": "scraper"}}}],
            "egress": [to_provider],
        },
        # The identity provider's certificate is signed by an authority that only this test knows.
        "extraEnv": [{"name": "SSL_CERT_FILE", "value": "/etc/authority/ca.crt"}],
        "extraVolumes": [{"name": "authority", "secret": {"secretName": "authority"}}],
        "extraVolumeMounts": [{"name": "authority", "mountPath": "/etc/authority"}],
    }


@contextmanager
def installed(folder: Path) -> Iterator[World]:
    """Install the chart with one pod and all options, deploy a release, and remove everything at the end."""
    require_cluster()
    host, _, _ = os.environ["EMBEDTUNE_TEST_CLUSTER_S3"].rpartition(":")
    authority, tls = Authority(folder / "authority.pem"), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with ExitStack() as ending:
        minio = ending.enter_context(MinioServer(folder / "minio", host))
        tls.load_cert_chain(*written(authority.issue(host), folder))
        provider = ending.enter_context(identity_provider(host, tls))
        collector = ending.enter_context(collecting(host))
        ending.enter_context(service_monitors())
        namespace = ending.enter_context(a_namespace())
        bucket, engine = Bucket(minio.endpoint), make_tiny_engine(folder / "engine")
        given = {
            "contract": {"base_model": "tiny", "dimensions": [TINY_DIMENSION, 16]},
            "release": {"uri": f"s3://{bucket.name}/releases"},
            "storage": {"endpoint": minio.endpoint, "secure": False},
            "deploy": {"target": "kubernetes", "namespace": namespace, "timeout_s": 240},
        }
        site = open_site(parse_config(given), replace(SECRETS, endpoint_api_key=SEARCH), folder)
        release = publish(site, engine)
        texts = read_texts({release.id: engine / REFERENCE_FILE})
        world = World(namespace, "", authority, release, texts, bucket, minio, collector, provider)
        world.prepare()
        file = folder / "values.json"
        file.write_text(json.dumps(values(world)))
        options = ("-f", str(file), "--set", "replicas=1", "--set", "gateway.apiKeySecret=")
        url = install(namespace, minio.endpoint, bucket, *options).replace("http:", "https:")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(authority.file))
            deploy = site.deploy.model_copy(update={"endpoint": url})
            go_live(replace(site, deploy=deploy), release.id, SilentProgress())
        world.kubectl("rollout", "status", f"deploy/{NAME}", "--timeout=120s")
        yield replace(world, url=url)


def written(made: Certificate, folder: Path) -> tuple[Path, Path]:
    """Write a certificate and its key to files."""
    files = folder / "server.crt", folder / "server.key"
    files[0].write_bytes(made.certificate)
    files[1].write_bytes(made.key)
    return files


@contextmanager
def service_monitors() -> Iterator[None]:
    """Let the cluster take ServiceMonitors, if it does not already; nobody reads them."""
    if subprocess.run(["kubectl", "get", "crd", MONITORS], capture_output=True, check=False).returncode == 0:
        yield
        return
    plural, _, group = MONITORS.partition(".")
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": {"plural": plural, "singular": "servicemonitor", "kind": "ServiceMonitor"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }
    crd = {**named("apiextensions.k8s.io/v1", "CustomResourceDefinition", MONITORS), "spec": spec}
    subprocess.run(["kubectl", "create", "-f", "-"], input=json.dumps(crd), text=True, check=True)
    kubectl("wait", "--for=condition=Established", f"crd/{MONITORS}", "--timeout=30s")
    try:
        yield
    finally:
        kubectl("delete", "crd", MONITORS)
