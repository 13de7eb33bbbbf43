"""A gateway in front of a real Triton."""

from collections.abc import Iterator

import httpx
import pytest
from tritonclient.grpc import InferenceServerClient

from tests.support.gateway_server import serving
from tests.support.triton_server import Triton, asking, options


@pytest.fixture(scope="session")
def gateway(triton: Triton) -> Iterator[str]:
    """Address of a gateway with the default options."""
    with serving(options(triton)) as url:
        yield url


@pytest.fixture
def http(gateway: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway, timeout=30) as client:
        yield client


@pytest.fixture
def direct(triton: Triton) -> Iterator[InferenceServerClient]:
    """Triton itself, whose vectors the gateway must pass on unchanged."""
    with asking(triton) as client:
        yield client
