"""The client of an object store: its credentials, its proxy, how long it waits, and what its errors mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import getproxies, proxy_bypass

import certifi
from minio import Minio
from minio.credentials.providers import IamAwsProvider, Provider, StaticProvider
from minio.error import MinioException, S3Error
from urllib3 import PoolManager, ProxyManager, Retry, Timeout, make_headers
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ConfigError, InputError, StoreAwayError
from embedtune.core.secrets import Secrets

_FIXES = {
    "NoSuchBucket": "check the bucket's name, or create it",
    "AccessDenied": "allow these credentials to list and read the bucket, and for releases to write to it",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY",
}


@dataclass(frozen=True)
class Patience:
    """How long an object store may take to answer.

    Args:
        timeout_s: Seconds to connect, and between two reads.
        retries: How often a request is sent again.
    """

    timeout_s: float
    retries: int


PATIENT = Patience(timeout_s=300.0, retries=5)  # minio's own


def connect(storage: StorageSettings, secrets: Secrets, patience: Patience = PATIENT) -> Minio:
    """Return a client for the configured object store.

    Keys come first, then workload identity (as AWS's own tools read it: a web identity such as a service account's
    token, or the credentials of the container); without either, access is anonymous. HTTPS_PROXY, HTTP_PROXY and
    NO_PROXY are respected.

    Args:
        storage: The store.
        secrets: Its credentials.
        patience: How long it may take to answer.

    Raises:
        ConfigError: No store is configured, its address is wrong, or its certificates cannot be read.
        InputError: The workload identity gives no credentials.
    """
    if not storage.endpoint:
        raise ConfigError(
            "an s3:// address needs an object store",
            expected="storage.endpoint=host:port",
            fix="--set storage.endpoint=… (and storage.secure=false for plain HTTP)",
        )
    credentials = _credentials(secrets)
    try:
        http = _http_client(_proxy(storage.endpoint, storage.secure), secrets.s3_ca_bundle, patience)
        return Minio(
            storage.endpoint,
            credentials=credentials,
            secure=storage.secure,
            region=storage.region,
            http_client=http,
        )
    except ValueError as error:
        raise ConfigError("storage.endpoint is not valid", got=storage.endpoint, expected="host:port") from error


def storage_from(environment: Mapping[str, str]) -> StorageSettings:
    """Return the object store that the environment of a container names: EMBEDTUNE_S3_ENDPOINT, _SECURE, _REGION.

    Args:
        environment: The variables, usually `os.environ`.
    """
    return StorageSettings(
        endpoint=environment.get("EMBEDTUNE_S3_ENDPOINT") or None,
        secure=environment.get("EMBEDTUNE_S3_SECURE", "true") != "false",
        region=environment.get("EMBEDTUNE_S3_REGION") or None,
    )


def _credentials(secrets: Secrets) -> Provider | None:
    if secrets.s3_access_key:
        return StaticProvider(secrets.s3_access_key, secrets.s3_secret_key or "", secrets.s3_session_token)
    if secrets.s3_identity is None:
        return None
    sts = secrets.s3_identity.sts_endpoint
    url = parse_url(sts or "https://sts.amazonaws.com")
    proxy = _proxy(url.host or "", url.scheme != "http") if secrets.s3_identity.web else None
    identity = IamAwsProvider(custom_endpoint=sts, http_client=_http_client(proxy, secrets.s3_ca_bundle))
    try:
        identity.retrieve()  # it renews itself later; here its errors can be explained
    except (ValueError, OSError, HTTPError) as error:
        raise InputError(
            "the workload identity gives no credentials for the object store",
            got=str(error),
            fix="check the service account's annotations and role, and AWS_ENDPOINT_URL_STS",
        ) from error
    return identity


def _proxy(endpoint: str, secure: bool) -> str | None:
    """Return the URL of the proxy on the way to host[:port], from the usual environment variables."""
    host = parse_url(endpoint).host or ""
    return None if proxy_bypass(host) else getproxies().get("https" if secure else "http")


def _http_client(proxy: str | None, ca_bundle: str | None, patience: Patience = PATIENT) -> PoolManager:
    """Return the HTTP client: minio's own has the same limits, but ignores proxies and AWS_CA_BUNDLE."""
    if ca_bundle and not Path(ca_bundle).is_file():
        raise ConfigError(
            "the certificates for the object store cannot be read",
            got=ca_bundle,
            expected="a PEM file",
            fix="check AWS_CA_BUNDLE and SSL_CERT_FILE",
        )
    options: dict[str, Any] = {  # Any: urllib3's keyword arguments
        "timeout": Timeout(patience.timeout_s),
        "maxsize": 10,
        "ca_certs": ca_bundle or certifi.where(),
        "cert_reqs": "CERT_REQUIRED",
        "retries": Retry(total=patience.retries, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
    }
    if proxy is None:
        return PoolManager(**options)
    user = parse_url(proxy).auth
    return ProxyManager(proxy, proxy_headers=make_headers(proxy_basic_auth=user) if user else None, **options)


def explain(where: str, storage: StorageSettings, error: MinioException | HTTPError) -> InputError:
    """Return the error to raise when the store refuses a request or does not answer.

    Args:
        where: The address that was requested.
        storage: The object store.
        error: The error that the client raised.
    """
    if isinstance(error, S3Error):
        reason, fix = f"{error.code}: {error.message}", _FIXES.get(str(error.code))
    else:
        reason = str(error)
        fix = "check storage.endpoint, storage.secure (TLS or not) and the network"
    kind = InputError if isinstance(error, S3Error) else StoreAwayError
    return kind(
        "the object store refused the request or did not answer",
        got=f"{where} at {storage.endpoint}: {reason}",
        fix=fix,
    )
