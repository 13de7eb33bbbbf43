"""A TCP proxy that breaks off: its first connections end in the middle of an answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class BreakingProxy:
    """Forwards to a server.

    Args:
        to: host:port of the server.
        listener: What it listens on.
    """

    def __init__(self, to: str, listener: socket.socket) -> None:
        host, port = to.split(":")
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self.breaks = 0  # connections that are still to end
        self.after = 0  # bytes of an answer
        self.sent = 0  # bytes of all answers
        self._to, self._listener = (host, int(port)), listener
        self._lock = threading.Lock()

    def run(self) -> None:
        """Accept connections until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self._to) as server:
            threading.Thread(target=self._copy, args=(client, server), daemon=True).start()
            answered = 0
            while block := server.recv(65536):
                with self._lock:
                    self.sent += len(block)
                    broken = self.breaks > 0 and answered + len(block) > self.after
                    self.breaks -= broken
                if broken:
                    client.sendall(block[: self.after - answered])
                    client.shutdown(socket.SHUT_RDWR)  # closing is not enough while another thread reads from it
                    server.shutdown(socket.SHUT_RDWR)
                    return
                answered += len(block)
                client.sendall(block)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while block := source.recv(65536):
                target.sendall(block)


@contextmanager
def breaking_proxy(to: str) -> Iterator[BreakingProxy]:
    """Run a proxy while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = BreakingProxy(to, listener)
        threading.Thread(target=proxy.run, daemon=True).start()
        yield proxy
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
