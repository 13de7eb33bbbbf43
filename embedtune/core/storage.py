"""Reads an S3-compatible object store with the MinIO client: lists a prefix or downloads it to a local folder."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import getproxies, proxy_bypass

import certifi
from minio import Minio
from minio.credentials.providers import IamAwsProvider, Provider, StaticProvider
from minio.error import MinioException, S3Error
from urllib3 import PoolManager, ProxyManager, Retry, Timeout, make_headers
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ArtifactError, ConfigError, InputError, StoreAwayError
from embedtune.core.records.base import JsonRecord, read_record, write_record
from embedtune.core.secrets import Secrets

log = logging.getLogger(__name__)
TIMEOUT_S = 300.0  # minio's default, to connect and between two reads
# Amazon's rules (docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html), which MinIO follows.
BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
INDEX = ".objects.json"  # kept next to downloaded files: the etag of each file's object; read only by this module
_FIXES = {
    "NoSuchBucket": "check the bucket's name, or create it",
    "AccessDenied": "allow these credentials to list and read the bucket, and for releases to write to it",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY",
}


class DownloadIndex(JsonRecord):
    """What a folder of downloads holds.

    Attributes:
        etags: The etag of each file's object, by the file's name.
    """

    NAME: ClassVar[str] = "download_index"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune ingest"

    etags: dict[str, str]


@dataclass(frozen=True)
class StoredObject:
    """An object under a prefix.

    Args:
        key: Its full key in the bucket.
        name: Its key without the prefix.
        size: Its size in bytes.
        etag: Its etag, which changes with its content.
    """

    key: str
    name: str
    size: int
    etag: str


def list_prefix(uri: str, storage: StorageSettings, secrets: Secrets) -> list[StoredObject]:
    """Return the objects under `s3://bucket/prefix/`, sorted by name.

    Args:
        uri: The address.
        storage: The object store.
        secrets: Its credentials; without them access is anonymous.

    Raises:
        ConfigError: The store is not configured.
        InputError: The address is wrong, the store refuses or does not answer, or there are no objects.
    """
    bucket, prefix = split_uri(uri)
    client = connect(storage, secrets)
    try:
        listed = list(client.list_objects(bucket, prefix=prefix, recursive=True))
    except (MinioException, HTTPError) as error:
        raise explain(uri, storage, error) from error
    objects = [
        StoredObject(item.object_name, item.object_name.removeprefix(prefix), item.size, item.etag)
        for item in listed
        if not item.object_name.endswith("/")
    ]
    if not objects:
        raise InputError("there are no objects at this address", got=uri, fix="check the bucket and the prefix")
    return sorted(objects, key=lambda item: item.name)


def download_prefix(uri: str, into: Path, storage: StorageSettings, secrets: Secrets) -> Path:
    """Download everything under `s3://bucket/prefix/` to a folder under `into` and return that folder.

    A file whose object has the same size and etag as before is not downloaded again; a file whose object is gone
    is deleted. An interrupted download leaves no partial file.

    Args:
        uri: The address.
        into: Directory for downloads.
        storage: The object store.
        secrets: Its credentials.

    Raises:
        ConfigError: The store is not configured.
        InputError: As for `list_prefix`; or the name of an object is also that of a folder.
    """
    bucket, prefix = split_uri(uri)
    objects = list_prefix(uri, storage, secrets)
    folder = into / bucket / prefix
    folder.mkdir(parents=True, exist_ok=True)
    client = connect(storage, secrets)
    have = _read_index(folder)
    for name in sorted(set(have) - {item.name for item in objects}):
        (folder / name).unlink(missing_ok=True)
        del have[name]
    fetched = 0
    for item in objects:
        path = _target(folder, item, uri)
        if have.get(item.name) == item.etag and path.is_file() and path.stat().st_size == item.size:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            client.fget_object(bucket, item.key, str(path))
        except (MinioException, HTTPError) as error:
            raise explain(f"s3://{bucket}/{item.key}", storage, error) from error
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise InputError(
                "an object and a folder have the same name", got=item.key, fix="rename one of them in the store"
            ) from error
        have[item.name] = item.etag
        fetched += 1
        _write_index(folder, have)
    log.info("%s: %d objects, %d downloaded", uri, len(objects), fetched)
    return folder


def split_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and prefix of an address; the prefix is empty or ends with a slash.

    Raises:
        InputError: The address is not of the form `s3://bucket/prefix`.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise InputError("not an object store address", got=uri, expected="s3://bucket/prefix")
    if not BUCKET.fullmatch(bucket):
        raise InputError(
            "not the name of a bucket",
            got=bucket,
            expected="3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with one of the "
            "first two",
            fix=f"check the address {uri}",
        )
    prefix = prefix.strip("/")
    return bucket, f"{prefix}/" if prefix else ""


def connect(storage: StorageSettings, secrets: Secrets) -> Minio:
    """Return a client for the configured object store.

    Keys come first, then workload identity (as AWS's own tools read it: a web identity such as a service account's
    token, or the credentials of the container); without either, access is anonymous. HTTPS_PROXY, HTTP_PROXY and
    NO_PROXY are respected.

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
        http = _http_client(_proxy(storage.endpoint, storage.secure), secrets.s3_ca_bundle)
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


def _http_client(proxy: str | None, ca_bundle: str | None) -> PoolManager:
    """Return the HTTP client: minio's own has the same limits, but ignores proxies and AWS_CA_BUNDLE."""
    if ca_bundle and not Path(ca_bundle).is_file():
        raise ConfigError(
            "the certificates for the object store cannot be read",
            got=ca_bundle,
            expected="a PEM file",
            fix="check AWS_CA_BUNDLE and SSL_CERT_FILE",
        )
    options: dict[str, Any] = {  # Any: urllib3's keyword arguments
        "timeout": Timeout(TIMEOUT_S),
        "maxsize": 10,
        "ca_certs": ca_bundle or certifi.where(),
        "cert_reqs": "CERT_REQUIRED",
        "retries": Retry(total=5, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
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


def _target(folder: Path, item: StoredObject, uri: str) -> Path:
    path = (folder / item.name).resolve()
    if not path.is_relative_to(folder.resolve()) or item.name == INDEX:
        raise InputError("an object's key points outside its folder", got=item.key, expected=f"keys under {uri}")
    return path


def _read_index(folder: Path) -> dict[str, str]:
    """Return the etag of each downloaded object; an unreadable index has none, so all are fetched again."""
    try:
        return read_record(folder / INDEX, DownloadIndex).etags
    except ArtifactError:
        return {}


def _write_index(folder: Path, index: dict[str, str]) -> None:
    draft = folder / f"{INDEX}.draft"
    write_record(draft, DownloadIndex(etags=dict(sorted(index.items()))))
    draft.replace(folder / INDEX)
