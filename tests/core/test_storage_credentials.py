"""How the object store is reached as clusters have it: session tokens, workload identity, private CA, proxies."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ConfigError, InputError
from embedtune.core.secrets import Secrets, secrets_from
from embedtune.core.storage_client import connect

LISTED = b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"
CONTAINER = b'{"AccessKeyId":"POD","SecretAccessKey":"s","Token":"t","Expiration":"2999-01-01T00:00:00Z"}'
GRANTED = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>KEY-{token}</AccessKeyId>
<SecretAccessKey>s</SecretAccessKey><SessionToken>session-{token}</SessionToken>
<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


class Cloud(ThreadingHTTPServer):
    """An object store, a token service and a proxy at one address; it keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Cloud

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        if self.path == "/container":
            self.reply(200, CONTAINER)
        else:
            self.reply(200, LISTED)

    def do_POST(self) -> None:
        body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        query = parse_qs(self.path.partition("?")[2]) | body
        (token,) = query["WebIdentityToken"]
        self.reply(403 if token == "stolen" else 200, GRANTED.format(token=token).encode())

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Cloud() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def secrets(**environment: str) -> Secrets:
    return secrets_from(environment, llm_key_name=None, judge_key_name=None)


def plain(address: str) -> StorageSettings:
    return StorageSettings(endpoint=address, secure=False, region="eu-1")


def headers_of_a_request(cloud: Cloud, given: Secrets, storage: StorageSettings | None = None) -> dict[str, str]:
    connect(storage or plain(cloud.address), given).list_buckets()
    return cloud.asked[-1][1]


def test_a_session_token_is_sent_with_temporary_keys(cloud: Cloud) -> None:
    given = secrets(AWS_ACCESS_KEY_ID="KEY", AWS_SECRET_ACCESS_KEY="s", AWS_SESSION_TOKEN="tok")
    sent = headers_of_a_request(cloud, given)
    assert "Credential=KEY/" in sent["Authorization"]
    assert sent["X-Amz-Security-Token"] == "tok"
    assert "tok" not in repr(given)


def test_without_any_credentials_access_is_anonymous(cloud: Cloud) -> None:
    assert "Authorization" not in headers_of_a_request(cloud, secrets(AWS_SESSION_TOKEN=""))


def test_a_service_accounts_token_is_exchanged_for_keys(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("jwt")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    given = secrets(
        AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "token"), AWS_ENDPOINT_URL_STS=f"http://{cloud.address}"
    )
    sent = headers_of_a_request(cloud, given)
    assert "Credential=KEY-jwt/" in sent["Authorization"]
    assert sent["X-Amz-Security-Token"] == "session-jwt"
    (tmp_path / "token").write_text("stolen")
    with pytest.raises(InputError, match="the workload identity gives no credentials"):
        connect(plain(cloud.address), given)


def test_keys_win_over_workload_identity(cloud: Cloud) -> None:
    given = secrets(AWS_ACCESS_KEY_ID="KEY", AWS_SECRET_ACCESS_KEY="s", AWS_WEB_IDENTITY_TOKEN_FILE="/none")
    assert "Credential=KEY/" in headers_of_a_request(cloud, given)["Authorization"]


def test_the_containers_own_service_gives_keys(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"http://{cloud.address}/container"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)
    sent = headers_of_a_request(cloud, secrets(AWS_CONTAINER_CREDENTIALS_FULL_URI=uri))
    assert "Credential=POD/" in sent["Authorization"]
    assert sent["X-Amz-Security-Token"] == "t"


def test_a_missing_token_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError, match="the workload identity gives no credentials") as error:
        connect(plain("127.0.0.1:9"), secrets(AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "none")))
    assert str(tmp_path / "none") in str(error.value.got)


def test_a_proxy_is_used_but_for_its_exceptions(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@{cloud.address}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sent = headers_of_a_request(cloud, secrets(), plain("store.example"))
    assert cloud.asked[-1][0] == "http://store.example/"
    assert sent["proxy-authorization"] == "Basic bWU6c2VjcmV0"  # base64 of me:secret
    headers_of_a_request(cloud, secrets())
    assert cloud.asked[-1][0] == "/"


def test_a_private_ca_is_trusted(cloud: Cloud, tmp_path: Path) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=store"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {tmp_path}/key -out {tmp_path}/ca.pem"
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key")
    cloud.socket = context.wrap_socket(cloud.socket, server_side=True)
    storage = StorageSettings(endpoint=cloud.address, region="eu-1")
    assert headers_of_a_request(cloud, secrets(AWS_CA_BUNDLE=str(tmp_path / "ca.pem")), storage)


def test_the_certificates_that_a_pod_has_count_if_no_variable_names_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = tmp_path / "ca.crt"
    monkeypatch.setattr("embedtune.core.secrets.STORAGE_CA", mounted)
    assert secrets().s3_ca_bundle is None  # the Secret is optional
    mounted.write_text("")
    assert secrets().s3_ca_bundle == str(mounted)
    assert secrets(AWS_CA_BUNDLE="/other.pem").s3_ca_bundle == "/other.pem"


def test_a_missing_ca_bundle_is_named() -> None:
    with pytest.raises(ConfigError, match="certificates for the object store cannot be read") as error:
        connect(plain("127.0.0.1:9"), secrets(AWS_CA_BUNDLE="/none.pem"))
    assert error.value.got == "/none.pem"
