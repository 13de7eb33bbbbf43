"""What a real Triton lets strangers do: infer and read metadata; everything else needs the key of its start."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import tritonclient.grpc as grpc
import urllib3
from tritonclient.utils import InferenceServerException

from embedtune.core.config.serve import ServeSettings
from embedtune.core.errors import ConfigError, InputError
from embedtune.serve.gateway.triton_client import TritonTls
from embedtune.serve.release.build import build_release
from embedtune.serve.triton.exposure import (
    GrpcTls,
    control_headers,
    grpc_tls,
    new_control_key,
    restriction_flags,
)
from embedtune.serve.triton.installation import Installation
from embedtune.serve.triton.server import Ports, TritonServer, free_ports
from tests.support.gateway_server import serving
from tests.support.triton_endpoint import inputs
from tests.support.triton_server import Triton, asking, options, running

Call = Callable[[grpc.InferenceServerClient, dict[str, str]], object]
GRPC: dict[str, Call] = {
    "repository index": lambda client, headers: client.get_model_repository_index(headers),
    "load a model": lambda client, headers: client.load_model("embedtune", headers),
    "unload a model": lambda client, headers: client.unload_model("embedtune", headers),
    "shared memory": lambda client, headers: client.register_system_shared_memory(
        "mine", "/x", 64, headers=headers
    ),
    "shared memory status": lambda client, headers: client.get_system_shared_memory_status(headers=headers),
    "CUDA memory": lambda client, headers: client.get_cuda_shared_memory_status(headers=headers),
    "statistics": lambda client, headers: client.get_inference_statistics(headers=headers),
    "trace settings": lambda client, headers: client.get_trace_settings(headers=headers),
    "log settings": lambda client, headers: client.get_log_settings(headers=headers),
}
HTTP = [
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/embedtune/load"),
    ("POST", "/v2/repository/models/embedtune/unload"),
    ("POST", "/v2/systemsharedmemory/region/mine/register"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("GET", "/v2/cudasharedmemory/status"),
    ("GET", "/v2/models/stats"),
    ("GET", "/v2/models/embedtune/stats"),
    ("GET", "/v2/trace/setting"),
    ("GET", "/v2/models/embedtune/trace/setting"),
    ("GET", "/v2/logging"),
]


def http(triton: Triton, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    close = {"Connection": "close", **(headers or {})}
    url = f"http://127.0.0.1:{triton.http_port}{path}"
    reply = urllib3.request(method, url, headers=close, retries=False, timeout=10)
    return reply.status, reply.data.decode()


@pytest.mark.parametrize("name", GRPC)
def test_a_stranger_may_not_control_the_server_over_grpc(triton: Triton, name: str) -> None:
    with asking(triton) as client, pytest.raises(InferenceServerException, match="restricted"):
        GRPC[name](client, {})


@pytest.mark.parametrize(("method", "path"), HTTP)
def test_a_stranger_may_not_control_the_server_over_http(triton: Triton, method: str, path: str) -> None:
    status, body = http(triton, method, path)
    assert (status, "restricted" in body) == (403, True)
    assert triton.server.control_key not in body


def test_the_key_of_this_start_gives_access_and_no_other(triton: Triton) -> None:
    right, wrong = control_headers(triton.server.control_key), control_headers(new_control_key())
    with asking(triton) as client:
        models = client.get_model_repository_index(right).models
        with pytest.raises(InferenceServerException, match="restricted"):
            client.get_model_repository_index(wrong)
    assert {(model.name, model.state) for model in models} == {("embedtune", "READY"), (triton.model, "READY")}
    assert http(triton, "POST", "/v2/repository/index", right)[0] == 200
    assert http(triton, "POST", "/v2/repository/index", wrong)[0] == 403


def test_clients_need_no_key_for_what_they_use(triton: Triton) -> None:
    with asking(triton) as client:
        assert client.is_server_ready()
        assert client.get_server_metadata().name == "triton"
        assert client.get_model_metadata("embedtune").name == "embedtune"
        assert client.get_model_config("embedtune").config.max_batch_size == ServeSettings().max_batch_size
        assert client.infer("embedtune", inputs(["a press"])).as_numpy("EMBEDDING").shape == (1, 32)
    assert [http(triton, "GET", path)[0] for path in ("/v2/health/ready", "/v2", "/v2/models/embedtune")] == [
        200
    ] * 3


def test_every_start_has_a_key_of_its_own() -> None:
    first, second = new_control_key(), new_control_key()
    assert first != second
    assert min(len(first), len(second)) >= 32


def test_the_flags_restrict_the_same_on_both_protocols() -> None:
    rule = "shared-memory,model-repository,statistics,trace,logging:embedtune-control=k"
    assert restriction_flags("k") == [f"--http-restricted-api={rule}", f"--grpc-restricted-protocol={rule}"]


@pytest.mark.parametrize("name", ["EMBEDTUNE_TRITON_TLS_CERT", "EMBEDTUNE_TRITON_TLS_KEY"])
def test_half_a_tls_configuration_is_refused(name: str) -> None:
    assert grpc_tls({}) is None
    with pytest.raises(ConfigError, match="needs a certificate and its key") as error:
        grpc_tls({name: "/tls/file"})
    assert error.value.got == f"only {name}"


def test_an_unreadable_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    with pytest.raises(InputError, match="cannot be read") as error:
        GrpcTls(tmp_path / "none", tmp_path / "key").flags()
    assert error.value.got == str(tmp_path / "none")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcTls]:
    folder = tmp_path_factory.mktemp("tls")
    tls = GrpcTls(folder / "tls.crt", folder / "tls.key")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    )
    command += f" -addext subjectAltName=DNS:localhost -keyout {tls.key} -out {tls.certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    yield tls


def test_with_a_certificate_grpc_speaks_only_tls(
    installation: Installation, certificate: GrpcTls, tmp_path: Path
) -> None:
    ports = Ports(*free_ports(3))
    (tmp_path / "models").mkdir()
    with TritonServer(tmp_path / "models", installation, ports, tmp_path / "log", certificate) as server:
        server.start(120)
        address = f"localhost:{ports.grpc}"
        client = grpc.InferenceServerClient(address, ssl=True, root_certificates=str(certificate.certificate))
        assert client.is_server_ready()
        client.close()
        plain = grpc.InferenceServerClient(address)
        with pytest.raises(InferenceServerException):
            plain.is_server_live(client_timeout=5)
        plain.close()


def test_the_gateway_checks_the_certificate_of_its_triton(
    engine: Path, installation: Installation, certificate: GrpcTls, tmp_path: Path
) -> None:
    request = {"model": "embedtune", "input": "press"}
    release = build_release(engine, tmp_path, ServeSettings())
    with running(release, installation, tmp_path / "log", tls=certificate) as triton:
        for tls, status in (
            (TritonTls(certificate.certificate, "localhost"), 200),
            (TritonTls(certificate.certificate), 503),  # its name is not 127.0.0.1
            (None, 503),
        ):
            with serving(options(triton, triton_tls=tls)) as url:
                assert httpx.post(f"{url}/v1/embeddings", json=request).status_code == status
