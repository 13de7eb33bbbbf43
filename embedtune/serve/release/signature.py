"""Signatures of releases: Ed25519 over a release's id, which is the hash of everything in it."""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.errors import ArtifactError, ConfigError
from embedtune.serve.release.record import short

HOW = "openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout -out public.pem"


@dataclass(frozen=True)
class Signing:
    """The keys of a release store's user.

    Args:
        private: PEM file with the key that signs what is published; None: it is not signed.
        public: PEM text of the key whose signature a release must have to be loaded; None: none is needed.
    """

    private: Path | None = None
    public: str | None = None

    def sign(self, name: str) -> str | None:
        """Return the signature of a release's id in base64; None without a private key.

        Raises:
            ConfigError: The key cannot be read, or is of another kind.
        """
        if self.private is None:
            return None
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(self.private.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise _no_key("release.signing_key", str(error)) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise _no_key("release.signing_key", type(key).__name__)
        return base64.b64encode(key.sign(name.encode())).decode()

    def require(self, name: str, signature: str | None) -> None:
        """Refuse a release that is not signed with the key that is required, if one is.

        Raises:
            ArtifactError: Its signature is missing, or was not made with that key.
            ConfigError: The public key is not one.
        """
        if self.public is None:
            return
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            key = load_pem_public_key(self.public.encode())
        except ValueError as error:
            raise _no_key("release.public_key", str(error)) from error
        if not isinstance(key, Ed25519PublicKey):
            raise _no_key("release.public_key", type(key).__name__)
        try:
            key.verify(base64.b64decode(signature or "", validate=True), name.encode())
        except (InvalidSignature, binascii.Error) as error:
            raise ArtifactError(
                f"release {short(name)} is not signed with the key that is required",
                got="a signature of another key" if signature else "no signature",
                expected="a signature of the private key that belongs to release.public_key",
                fix="publish it with release.signing_key: run `embedtune deploy` again",
            ) from error


def _no_key(setting: str, reason: str) -> ConfigError:
    return ConfigError(f"{setting} is not an Ed25519 key in PEM", got=reason, fix=HOW)
