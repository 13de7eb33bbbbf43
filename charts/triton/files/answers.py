"""Run by `helm test` in the cluster: checks that the endpoint returns unit vectors, in order and reproducibly.

Where only clients have keys (gateway.keysSecret, gateway.oidc), it checks health, and that one is asked for.
"""

import json
import math
import os
import ssl
import sys
import time
import urllib.error
import urllib.request

URL = os.environ["ENDPOINT"]
TLS = ssl._create_unverified_context()  # whether it answers is checked here, not by whom the certificate is signed
KEY = os.environ.get("EMBEDTUNE_API_KEY", "")
# A network policy knows a new pod, such as this one, only after a moment, and refuses it until then.
PATIENCE_S = 30.0
TEXTS = ["How is a release rolled back?", "A release is rolled back by promoting the one before it."]


def ask(path: str, body: dict | None = None) -> dict:  # OpenAI's wire format
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(URL + path, json.dumps(body).encode() if body else None, headers)
    with urllib.request.urlopen(request, timeout=60, context=TLS) as reply:
        return json.load(reply)


def ask_health() -> dict:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask("/health")
        except urllib.error.URLError as error:
            if isinstance(error, urllib.error.HTTPError) or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def main() -> str | None:
    health = ask_health()["status"]
    try:
        model = ask("/v1/models")["data"][0]["id"]
    except urllib.error.HTTPError as error:
        if KEY or error.code != 401:
            raise
        print(f"health: {health}; it asks for a key, and this test has none (gateway.apiKeySecret)")
        return None
    first, second = (
        [row["embedding"] for row in ask("/v1/embeddings", {"model": model, "input": texts})["data"]]
        for texts in (TEXTS, TEXTS[::-1])
    )
    for vector in first:
        length = math.hypot(*vector)
        if abs(length - 1) > 1e-3:
            return f"a vector has length {length}; expected 1"
    cosines = [sum(a * b for a, b in zip(x, y, strict=True)) for x, y in zip(first, second[::-1], strict=True)]
    if min(cosines) < 0.9999:
        return f"the same texts in another order have other vectors: cosines {cosines}"
    print(f"{model} answers with {len(first[0])} dimensions")
    return None


try:
    sys.exit(main())
except (urllib.error.URLError, KeyError, IndexError) as error:
    sys.exit(f"{URL} does not answer as expected: {error!r}")
