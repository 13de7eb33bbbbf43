"""Access tokens of an identity provider (OIDC): JWTs signed by one of its keys, for this service, not expired."""

import asyncio
import hashlib
import json
import logging
import math
import re
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jwt

from embedtune.core.errors import InputError
from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.keys import Key

log = logging.getLogger(__name__)
# Signatures with a public key only: with a shared one, whoever can check a token could make one.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
REQUIRED = ["exp", "iss", "aud"]
LEEWAY_S = 30.0  # by which clocks may differ
RENEW_S = 3600.0  # after which the provider's keys are read again
AGAIN_S = 10.0  # at most this often for a key that is not known: anybody can send a token that names one
ANSWER_S, LARGEST = 5.0, 1_000_000  # of the provider
KEPT = 10_000  # tokens that were checked and have not expired
NAMES = 1_000  # clients with metrics of their own; further ones share OTHERS
OTHERS = "oidc:others"
STRANGE = re.compile(r"[^A-Za-z0-9_.@|-]")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
Json = dict[str, Any]  # Any: what a provider says about itself


@dataclass(frozen=True)
class Issuer:
    """An identity provider.

    Args:
        url: Its address, exactly as in the claim `iss`.
        audience: What the claim `aud` must contain: the name of this service there.
        name_claim: The claim that names the client in metrics, in the access log and for a fair share.

    Raises:
        InputError: The address is not https, or nothing says for which service tokens must be.
    """

    url: str
    audience: str
    name_claim: str = "sub"

    def __post_init__(self) -> None:
        _require_https(self.url, "--oidc-issuer")
        if not self.audience or not self.name_claim:
            raise InputError(
                "--oidc-audience and --oidc-name-claim must not be empty",
                expected="the name of this service at the identity provider, and the claim that names a client",
            )


@dataclass
class AccessTokens:
    """Checks tokens, with the provider's keys as it publishes them.

    Args:
        issuer: The provider.
        clock: Seconds since the epoch, for tokens and keys.
    """

    issuer: Issuer
    clock: Callable[[], float] = time.time
    _keys: dict[str, jwt.PyJWK] = field(default_factory=dict)
    _read: float = -math.inf  # when the keys were read, and when that was last tried
    _tried: float = -math.inf
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _known: dict[bytes, tuple[Key, float]] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    async def find(self, token: bytes) -> Key:
        """Return the client that a token names.

        Raises:
            RefusedError: The token is not valid, or the provider's keys cannot be read.
        """
        digest = hashlib.sha256(token).digest()
        known = self._known.get(digest)
        # Its key may have been withdrawn since: once an hour every token is checked again.
        if known and self.clock() < known[1] and self.clock() - self._read < RENEW_S:
            return known[0]
        try:
            kid = str(jwt.get_unverified_header(token).get("kid") or "")
            claims = self._claims(token, await self._key(kid))
        except (jwt.InvalidTokenError, TypeError, ValueError) as error:
            raise _invalid(f"the access token is not valid: {error}") from error
        name = claims.get(self.issuer.name_claim)
        if not isinstance(name, str) or not name:
            raise _invalid(f"the access token has no claim {self.issuer.name_claim} that names the client")
        key = Key(self._named(name), hashlib.sha256(name.encode()).digest())
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[digest] = key, float(claims["exp"]) + LEEWAY_S
        return key

    def _claims(self, token: bytes, key: jwt.PyJWK) -> Json:
        claims: Json = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            audience=self.issuer.audience,
            issuer=self.issuer.url,
            # Times are compared below, by the clock that also decides how long the token is remembered.
            options={
                "require": ["exp", "iss", "aud"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        now = self.clock()
        if now >= float(claims["exp"]) + LEEWAY_S:
            raise jwt.ExpiredSignatureError("it has expired")
        if now < float(claims.get("nbf", 0)) - LEEWAY_S:
            raise jwt.ImmatureSignatureError("it is not valid yet")
        return claims

    def _named(self, name: str) -> str:
        shown = "oidc:" + STRANGE.sub("_", name)[:58]
        if shown not in self._names and len(self._names) >= NAMES:
            return OTHERS
        self._names.add(shown)
        return shown

    async def _key(self, kid: str) -> jwt.PyJWK:
        async with self._renewing:
            now = self.clock()
            wanted = kid not in self._keys and not self._only(kid)
            if now - self._tried >= AGAIN_S and (wanted or now - self._read >= RENEW_S):
                self._tried = now
                await asyncio.to_thread(self._renew)
        if not self._keys:
            what = "the identity provider does not answer, so that access tokens cannot be checked"
            raise RefusedError(503, what, code="unavailable", retry_after_s=AGAIN_S)
        found = self._keys.get(kid) or self._only(kid)
        if found is None:
            raise jwt.InvalidTokenError("the identity provider has no key with its kid")
        return found

    def _only(self, kid: str) -> jwt.PyJWK | None:
        """Return the provider's only key, for a token that names none."""
        return next(iter(self._keys.values())) if not kid and len(self._keys) == 1 else None

    def _renew(self) -> None:
        try:
            keys = _public_keys(_fetch(self._keys_address()))
        except (OSError, ValueError, KeyError, TypeError, InputError, jwt.PyJWTError) as error:
            # The keys from before hold as long as the provider is away.
            log.error("the keys of %s cannot be read: %s", self.issuer.url, error)
            return
        if not keys:
            log.error("%s publishes no public keys for signatures", self.issuer.url)
            return
        self._keys, self._read = keys, self.clock()
        self._known.clear()  # a key may have been withdrawn

    def _keys_address(self) -> str:
        about = _fetch(self.issuer.url.rstrip("/") + "/.well-known/openid-configuration")
        if about["issuer"] != self.issuer.url:
            raise ValueError(f"it calls itself {about['issuer']!r}, not {self.issuer.url!r}")
        address = str(about["jwks_uri"])
        _require_https(address, "jwks_uri")
        return address


def is_token(authorization: bytes) -> bytes | None:
    """Return the access token in the header `Authorization`; None: there is none, though there may be a key."""
    scheme, _, token = authorization.partition(b" ")
    token = token.strip()
    return token if scheme.lower() == b"bearer" and token.count(b".") == 2 and token.startswith(b"ey") else None


def _public_keys(published: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    keys = {}
    for given in published["keys"]:
        if given.get("kty") in ("RSA", "EC", "OKP") and given.get("use", "sig") == "sig":
            keys[str(given.get("kid") or "")] = jwt.PyJWK(given)
    return keys


def _fetch(url: str) -> Json:
    with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:  # noqa: S310 - https, or http on this machine
        _require_https(answer.url, "what the identity provider redirects to")
        body = answer.read(LARGEST + 1)
    found = json.loads(body)
    if len(body) > LARGEST or not isinstance(found, dict):
        raise ValueError(f"{url} is not a JSON object of at most {LARGEST:,} bytes")
    return found


def _require_https(url: str, setting: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise InputError(
            f"{setting} must be an https address", got=url, expected="https://…; http only on this machine"
        )


def _invalid(message: str) -> RefusedError:
    return RefusedError(401, message, code="invalid_token")
