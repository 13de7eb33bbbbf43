"""HTTPS of the gateway: a certificate that is renewed without a restart, and never a broken one."""

import datetime
import ipaddress
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from embedtune.core.errors import InputError
from embedtune.serve.gateway.__main__ import main
from embedtune.serve.gateway.tls import CHECK_S, Tls, TlsFiles
from tests.support.gateway_server import serving
from tests.support.triton_server import Triton, options


def write_certificate(files: TlsFiles, password: bytes = b"") -> int:
    """Write a certificate for 127.0.0.1 and its key; return its serial number."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    for file, content in (
        (files.key, pem),
        (files.certificate, certificate.public_bytes(serialization.Encoding.PEM)),
    ):
        draft = file.with_suffix(".draft")
        draft.write_bytes(content)
        draft.replace(file)  # as Kubernetes and certbot do
    return certificate.serial_number


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key")


def client(files: TlsFiles) -> httpx.Client:
    return httpx.Client(verify=ssl.create_default_context(cafile=str(files.certificate)), timeout=30)


def served(url: str) -> int:
    """Return the serial number of the certificate that a new connection gets."""
    host, port = url.removeprefix("https://").split(":")
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((host, int(port))).encode()).serial_number


def test_clients_that_trust_the_certificate_are_answered_and_plain_http_is_not(
    triton: Triton, files: TlsFiles
) -> None:
    write_certificate(files)
    with serving(options(triton), tls=Tls(files)) as url, client(files) as http:
        reply = http.post(f"{url}/v1/embeddings", json={"model": "embedtune", "input": "press"})
        assert (reply.status_code, len(reply.json()["data"][0]["embedding"])) == (200, 32)
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{url}/health")
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{url.replace('https', 'http')}/health")


def test_a_renewed_certificate_is_used_without_a_restart_and_open_connections_go_on(
    triton: Triton, files: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, now = write_certificate(files), [0.0]
    with serving(options(triton), tls=Tls(files, lambda: now[0])) as url, client(files) as http:
        assert http.get(f"{url}/health/live").status_code == 200
        assert served(url) == first
        second = write_certificate(files)
        assert served(url) == first  # looked at once a second
        now[0] += CHECK_S
        assert served(url) == second
        assert http.get(f"{url}/health/live").status_code == 200
        assert "was read again" in caplog.text


@pytest.mark.parametrize(
    "spoil",
    [
        lambda files: files.key.write_text("no key"),
        lambda files: files.key.unlink(),
        lambda files: write_certificate(TlsFiles(files.certificate, files.certificate.with_name("other.key"))),
    ],
    ids=["broken", "gone", "of another certificate"],
)
def test_a_certificate_that_cannot_be_used_does_not_replace_one_that_can(
    triton: Triton, files: TlsFiles, spoil: Callable[[TlsFiles], object], caplog: pytest.LogCaptureFixture
) -> None:
    first, now = write_certificate(files), [0.0]
    with serving(options(triton), tls=Tls(files, lambda: now[0])) as url:
        spoil(files)
        now[0] += CHECK_S
        assert served(url) == first
        assert "the previous one remains" in caplog.text
        third = write_certificate(files)
        now[0] += CHECK_S
        assert served(url) == third


def test_files_that_do_not_belong_together_or_need_a_passphrase_are_refused_at_start(files: TlsFiles) -> None:
    write_certificate(files, b"sesame")
    with pytest.raises(InputError, match="cannot be used"):
        Tls(files)
    other = TlsFiles(files.certificate, files.key.with_name("other.key"))
    write_certificate(TlsFiles(files.certificate.with_name("other.crt"), other.key))
    with pytest.raises(InputError, match="cannot be used"):
        Tls(other)
    with pytest.raises(InputError, match="cannot be used"):
        Tls(TlsFiles(files.certificate, Path("/nowhere")))


def test_a_certificate_without_its_key_is_refused(files: TlsFiles) -> None:
    write_certificate(files)
    done = CliRunner().invoke(main, ["--tls-cert", str(files.certificate), "--port", "0"])
    assert done.exit_code == 2
    assert "--tls-cert and --tls-key go together" in done.output
