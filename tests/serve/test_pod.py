"""What a pod's Triton opens to others: nothing, unless the environment lists a port."""

import pytest

from embedtune.core.errors import ConfigError
from embedtune.serve.pod import open_addresses


@pytest.mark.parametrize(
    ("listed", "http", "grpc", "metrics"),
    [
        (None, "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("", "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("grpc", "127.0.0.1", "0.0.0.0", "127.0.0.1"),
        ("metrics, grpc", "127.0.0.1", "0.0.0.0", "0.0.0.0"),
        ("http,", "0.0.0.0", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_only_listed_ports_are_reachable_from_elsewhere(
    listed: str | None, http: str, grpc: str, metrics: str
) -> None:
    environment = {} if listed is None else {"EMBEDTUNE_TRITON_OPEN": listed}
    assert open_addresses(environment) == (http, grpc, metrics)


def test_a_misspelt_port_is_refused() -> None:
    with pytest.raises(ConfigError, match="a port that Triton does not have") as error:
        open_addresses({"EMBEDTUNE_TRITON_OPEN": "grcp,http"})
    assert error.value.got == "grcp"
