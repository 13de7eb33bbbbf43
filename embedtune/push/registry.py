"""An OCI registry: an artifact with a layer per file, which `oras pull` and every registry understand."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedtune.core.errors import InputError
from embedtune.push.contents import Contents
from embedtune.push.target import FOLDER, Credentials, Found, Pushed

ARTIFACT = "application/vnd.embedtune.model.v1"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"  # the configuration of an artifact that has none (OCI image spec 1.1)
TITLE = "org.opencontainers.image.title"  # the file's name, for `oras pull`
IN_PARTS_FROM = 64 << 20  # bytes; the client reads a blob that is sent whole into memory
LOCAL = ("localhost", "127.0.0.1")  # spoken to without TLS, as docker does


class RegistryTarget:
    """A tag of a repository in an OCI registry.

    Args:
        address: `oci://HOST/REPOSITORY:TAG`.
        credentials: Name and password; without them, what `docker login` stored is used.
        staging: Directory for the configuration blob.

    Raises:
        InputError: The address has no host, repository or tag.
    """

    model = FOLDER

    def __init__(self, address: str, credentials: Credentials, staging: Path) -> None:
        from oras.client import OrasClient  # of the extra `oci`

        self._name = address.removeprefix("oci://")
        host, _, rest = self._name.partition("/")
        if not host or not all(rest.rpartition(":")) or "@" in rest:
            raise InputError("not a tag in an OCI registry", got=address, expected="oci://HOST/REPOSITORY:TAG")
        self.download: str | None = f"oras pull {self._name} -o {FOLDER}"
        self._client = OrasClient(hostname=host, insecure=host.partition(":")[0] in LOCAL)
        self._container = self._client.get_container(self._name)
        self._staging = staging
        if credentials.oci_username:
            self._client.auth.set_basic_auth(credentials.oci_username, credentials.oci_password or "")
        else:
            self._client.auth.load_configs(self._container)

    def inspect(self) -> Found:
        """Say whether the tag exists."""
        found = self._digest()
        return Found(f"the tag, at {found[:19]}, which is moved" if found else "nothing at this tag")

    def push(self, contents: Contents, *, public: bool) -> Pushed:
        """Upload the blobs that the registry lacks, then move the tag to them.

        Raises:
            InputError: The registry refuses or does not answer.
        """
        blank = self._staging / "config.json"
        blank.write_bytes(b"{}")
        config = _layer(blank, EMPTY)
        layers = [
            _layer(path, "application/octet-stream") | {"annotations": {TITLE: name}}
            for name, path in contents.files.items()
        ]
        manifest: dict[str, Any] = {  # Any: the form that the OCI image spec prescribes
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": ARTIFACT,
            "config": config,
            "layers": layers,
        }
        before = self._digest()
        for path, layer in zip([*contents.files.values(), blank], [*layers, config], strict=True):
            with self._explained():
                large = layer["size"] >= IN_PARTS_FROM
                _require_ok(self._client.upload_blob(str(path), self._container, layer, do_chunked=large))
        with self._explained():
            _require_ok(self._client.upload_manifest(manifest, self._container))
        digest = self._digest() or ""
        return Pushed(f"oci://{self._name.rpartition(':')[0]}@{digest}", changed=digest != before)

    def _digest(self) -> str | None:
        """Return the digest that the tag has; None: there is no such tag."""
        with self._explained():
            url = f"{self._client.prefix}://{self._container.manifest_url()}"
            answer = self._client.do_request(url, "GET", headers={"Accept": MANIFEST})
            if answer.status_code == 404:
                return None
            _require_ok(answer)
            return f"sha256:{hashlib.sha256(answer.content).hexdigest()}"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the client's errors into ours."""
        import requests

        try:
            yield
        except (requests.RequestException, ValueError, OSError) as error:
            refused = "authentication" in str(error) or "HTTP 40" in str(error)
            raise InputError(
                "the OCI registry refused the push or did not answer",
                got=f"{self._name}: {error}",
                fix="check OCI_USERNAME and OCI_PASSWORD (or `docker login`), and that they may push here"
                if refused
                else "check the host's name and the network, then run the same command again",
            ) from error


def _layer(path: Path, media_type: str) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"mediaType": media_type, "size": path.stat().st_size, "digest": f"sha256:{digest}"}


def _require_ok(answer: Any) -> None:  # Any: oras has no types
    if answer.status_code not in (200, 201, 202):
        try:
            said = "; ".join(str(one.get("message")) for one in answer.json()["errors"])
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError):
            said = str(answer.reason)
        raise ValueError(f"HTTP {answer.status_code}: {said}")
