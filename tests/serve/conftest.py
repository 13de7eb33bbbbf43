"""Where other tests look for the real Triton's helpers."""

from tests.triton_server import Triton, free_ports, running  # noqa: F401
