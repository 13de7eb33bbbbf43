"""Access tokens of an identity provider: which are accepted, how keys are rotated, what happens without it."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from embedtune.core.errors import InputError
from embedtune.serve.gateway.access_tokens import AGAIN_S, NAMES, OTHERS, RENEW_S, AccessTokens, Issuer, is_token
from embedtune.serve.gateway.http_errors import RefusedError
from tests.support.gateway_server import key, serving
from tests.support.identity_provider import AUDIENCE, Provider, identity_provider
from tests.support.triton_server import Triton, options


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def provider() -> Iterator[Provider]:
    with identity_provider() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(provider: Provider, clock: Clock) -> AccessTokens:
    return AccessTokens(Issuer(provider.url, AUDIENCE), clock=clock)


def name(tokens: AccessTokens, token: str) -> str:
    return asyncio.run(tokens.find(token.encode())).name


def refusal(tokens: AccessTokens, token: str) -> tuple[int, str]:
    with pytest.raises(RefusedError) as refused:
        name(tokens, token)
    return refused.value.status, str(refused.value)


def test_a_token_names_its_client(provider: Provider, tokens: AccessTokens) -> None:
    assert name(tokens, provider.token()) == "oidc:indexer"
    assert name(tokens, provider.token(aud=["other", AUDIENCE])) == "oidc:indexer"
    assert name(tokens, provider.token(sub='a b"\n' + "x" * 80)) == "oidc:a_b__" + "x" * 53


def test_another_claim_can_name_the_client(provider: Provider) -> None:
    tokens = AccessTokens(Issuer(provider.url, AUDIENCE, "azp"))
    assert name(tokens, provider.token(azp="search")) == "oidc:search"
    assert "no claim azp" in refusal(tokens, provider.token())[1]
    assert "no claim azp" in refusal(tokens, provider.token(azp=["search"]))[1]


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "EdDSA"])
def test_keys_of_every_kind(provider: Provider, tokens: AccessTokens, algorithm: str) -> None:
    made = {"E": lambda: ec.generate_private_key(ec.SECP256R1()), "D": ed25519.Ed25519PrivateKey.generate}
    kind = "D" if algorithm == "EdDSA" else algorithm[0]
    provider.keys["one"] = (algorithm, made.get(kind, lambda: rsa.generate_private_key(65537, 2048))())
    assert name(tokens, provider.token("one")) == "oidc:indexer"


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": -31.0}, "has expired"),  # seconds from now
        ({"nbf": 300.0}, "not valid yet"),
        ({"aud": "billing"}, "Audience doesn't match"),
        ({"iss": "https://elsewhere"}, "Invalid issuer"),
        ({"exp": None}, '"exp" claim'),
        ({"aud": None}, '"aud" claim'),
        ({"exp": "soon"}, "could not convert"),
    ],
)
def test_a_token_that_is_not_for_us_or_not_for_now(
    provider: Provider, tokens: AccessTokens, claims: dict[str, object], message: str
) -> None:
    given = {name: time.time() + value if isinstance(value, float) else value for name, value in claims.items()}
    status, said = refusal(tokens, provider.token(**given))
    assert status == 401
    assert message in said


def test_clocks_may_differ_by_half_a_minute(provider: Provider, tokens: AccessTokens) -> None:
    assert name(tokens, provider.token(exp=time.time() - 20)) == "oidc:indexer"
    assert name(tokens, provider.token(nbf=time.time() + 20)) == "oidc:indexer"


def test_a_token_that_was_accepted_is_refused_once_it_has_expired(
    provider: Provider, tokens: AccessTokens, clock: Clock
) -> None:
    token = provider.token()
    assert name(tokens, token) == "oidc:indexer"
    clock.ahead = 89
    assert name(tokens, token) == "oidc:indexer"
    clock.ahead = 91
    assert refusal(tokens, token)[0] == 401


def forged(provider: Provider) -> dict[str, str]:
    """Return tokens that nobody but a forger would send."""
    claims = {"iss": provider.url, "aud": AUDIENCE, "sub": "admin", "exp": time.time() + 60}
    public = provider.keys["first"][1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, body, signature = provider.token().split(".")
    other = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    stranger = rsa.generate_private_key(65537, 2048)
    unsigned = jwt.encode(claims, None, "none", headers={"kid": "first"})
    # The public key as a shared secret, which libraries once took: made by hand, since PyJWT refuses to.
    shared = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"first"}').rstrip(b"=").decode()
    mac = hmac.new(public, f"{shared}.{other}".encode(), hashlib.sha256).digest()
    return {
        "another body": f"{head}.{other}.{signature}",
        "no signature": f"{head}.{body}.",
        "algorithm none": unsigned,
        "the public key as a secret": f"{shared}.{other}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}",
        "another key": jwt.encode(claims, stranger, "RS256", headers={"kid": "first"}),
        "not JSON": "ey.ey.ey",
    }


def test_forged_tokens_are_refused(provider: Provider, tokens: AccessTokens) -> None:
    for what, token in forged(provider).items():
        assert refusal(tokens, token)[0] == 401, what


def test_a_new_key_is_found_and_a_withdrawn_one_is_forgotten(
    provider: Provider, tokens: AccessTokens, clock: Clock
) -> None:
    old = provider.token()
    assert name(tokens, old) == "oidc:indexer"
    provider.keys["second"] = ("RS256", rsa.generate_private_key(65537, 2048))
    first = provider.keys.pop("first")
    new = provider.token("second")
    clock.ahead = AGAIN_S
    assert name(tokens, new) == "oidc:indexer"
    assert refusal(tokens, old)[0] == 401
    provider.keys["first"] = first
    assert refusal(tokens, old)[0] == 401  # asked less than ten seconds ago


def test_a_token_that_was_accepted_is_refused_within_an_hour_of_the_withdrawal_of_its_key(
    provider: Provider, tokens: AccessTokens, clock: Clock
) -> None:
    token = provider.token(exp=time.time() + 9 * RENEW_S)
    assert name(tokens, token) == "oidc:indexer"
    provider.keys["second"] = provider.keys.pop("first")
    clock.ahead = RENEW_S - 60
    assert name(tokens, token) == "oidc:indexer"
    clock.ahead = RENEW_S + 1
    assert refusal(tokens, token)[0] == 401


def test_tokens_with_invented_keys_do_not_make_us_ask_again_and_again(
    provider: Provider, tokens: AccessTokens, clock: Clock
) -> None:
    assert name(tokens, provider.token()) == "oidc:indexer"
    provider.keys["other"] = ("RS256", rsa.generate_private_key(65537, 2048))
    invented = provider.token("other")
    del provider.keys["other"]
    for _ in range(20):
        assert "no key with its kid" in refusal(tokens, invented)[1]
    assert provider.asked.count("/keys") == 1
    clock.ahead = AGAIN_S
    refusal(tokens, invented)
    assert provider.asked.count("/keys") == 2


def test_without_the_provider_known_keys_hold_and_unknown_clients_wait(
    provider: Provider, tokens: AccessTokens, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    provider.away = True
    status, said = refusal(tokens, provider.token())
    assert (status, "does not answer" in said) == (503, True)
    assert "cannot be read" in caplog.text
    provider.away = False
    assert refusal(tokens, provider.token())[0] == 503  # tried less than ten seconds ago
    clock.ahead = AGAIN_S
    assert name(tokens, provider.token()) == "oidc:indexer"
    provider.away = True
    clock.ahead = RENEW_S + 2 * AGAIN_S
    assert name(tokens, provider.token(exp=time.time() + 9000)) == "oidc:indexer"


def test_a_provider_that_calls_itself_otherwise_is_not_believed(
    provider: Provider, tokens: AccessTokens, caplog: pytest.LogCaptureFixture
) -> None:
    provider.calls_itself = "https://elsewhere"
    assert refusal(tokens, provider.token())[0] == 503
    assert "it calls itself 'https://elsewhere'" in caplog.text


def test_many_clients_do_not_become_as_many_metrics(provider: Provider, tokens: AccessTokens) -> None:
    tokens._names.update(f"oidc:{number}" for number in range(NAMES - 1))
    assert name(tokens, provider.token(sub="last")) == "oidc:last"
    assert name(tokens, provider.token(sub="one more")) == OTHERS
    assert name(tokens, provider.token(sub="last", jti="another")) == "oidc:last"


@pytest.mark.parametrize(
    ("url", "audience", "message"),
    [
        ("http://id.example.com", "a", "must be an https address"),
        ("id.example.com", "a", "must be an https address"),
        ("https://id.example.com", "", "--oidc-audience"),
    ],
)
def test_what_would_let_strangers_in_is_refused_at_the_start(url: str, audience: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Issuer(url, audience)


def test_what_is_a_token() -> None:
    assert is_token(b"Bearer eyA.eyB.sig") == b"eyA.eyB.sig"
    assert is_token(b"bearer  eyA.eyB. ") == b"eyA.eyB."
    for other in (b"", b"Bearer", b"Bearer 0123456789abcdef", b"Basic eyA.eyB.sig", b"Bearer a.b.c"):
        assert is_token(other) is None


def test_the_endpoint_takes_tokens_and_keys_and_nothing_else(triton: Triton, provider: Provider) -> None:
    given = options(triton, api_key=key("s3cret"), issuer=Issuer(provider.url, AUDIENCE))
    without = options(triton, issuer=Issuer(provider.url, AUDIENCE))

    def status(url: str, token: str | None) -> tuple[int, str | None]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = httpx.post(
            f"{url}/v1/embeddings", json={"model": "embedtune", "input": "kiln"}, headers=headers, timeout=30
        )
        return answer.status_code, answer.json().get("error", {}).get("code")

    with serving(given) as url:
        assert status(url, provider.token()) == (200, None)
        assert status(url, "s3cret") == (200, None)
        assert status(url, provider.token(aud="billing")) == (401, "invalid_token")
        assert status(url, "wrong") == status(url, None) == (401, "invalid_api_key")
        metrics = httpx.get(f"{url}/metrics").text
        assert 'key="oidc:indexer"' in metrics
    with serving(without) as url:  # no keys at all does not mean that anybody is let in
        assert status(url, None) == status(url, "s3cret") == (401, "invalid_api_key")
        assert status(url, provider.token()) == (200, None)
