"""An identity provider over HTTP: it publishes its keys as OIDC says, signs tokens, and can be away or lie."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

AUDIENCE = "embedtune"
SignKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class Provider:
    """What the server publishes; tests change it while it runs.

    Args:
        url: Its address.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls_itself = url
        self.away = False
        self.asked: list[str] = []
        self.keys: dict[str, tuple[str, SignKey]] = {"first": ("RS256", rsa.generate_private_key(65537, 2048))}

    def token(self, kid: str = "first", **claims: Any) -> str:
        """Return a token that is valid for a minute, with these claims in addition or instead."""
        algorithm, key = self.keys[kid]
        given = {"iss": self.url, "aud": AUDIENCE, "sub": "indexer", "exp": time.time() + 60, **claims}
        kept = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(kept, key, algorithm, headers={"kid": kid})

    def answer(self, path: str) -> dict[str, Any] | None:
        """Return what is at a path; None: nothing."""
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.calls_itself, "jwks_uri": f"{self.url}/keys"}
        return {"keys": [self.public(kid) for kid in self.keys]} if path == "/keys" else None

    def public(self, kid: str) -> dict[str, Any]:
        """Return a key as it is published."""
        algorithm, key = self.keys[kid]
        signer = jwt.get_algorithm_by_name(algorithm)
        return {**json.loads(signer.to_jwk(key.public_key())), "kid": kid, "alg": algorithm, "use": "sig"}


@contextmanager
def identity_provider(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """Run a provider while the block runs.

    Args:
        host: The address that it listens on.
        tls: Its certificate; None: it speaks plain HTTP.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = provider.answer(self.path)
            body = json.dumps(found).encode()
            self.send_response(503 if provider.away else 200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    provider = Provider(f"http{'s' if tls else ''}://{host}:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
