"""Replicas without Triton: the real follower over a loader that computes vectors from text and model."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.onnx import OnnxEncoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import GateError
from embedtune.core.progress import SilentProgress
from embedtune.core.records.deployment import EndpointDrift
from embedtune.serve.release.proof import Embed, Kind, ask, read_proof, require_close
from embedtune.serve.release.record import PROOF_FILE, Release
from embedtune.serve.replica.downloads import Downloads
from embedtune.serve.replica.follower import Follower, Kept
from embedtune.serve.replica.loader import Loaded, Tell
from embedtune.serve.replica.serving import DOWNLOADS, SERVING_FILE, Serving, ServingReader
from embedtune.serve.store.store import ReleaseStore
from tests.support.serving_world import vector


def vectors_by_name(release: Release) -> Embed:
    """Return the encoder of a release of `serving_world`."""
    model = (release.path / "name").read_text()

    def embed(texts: Sequence[str], kind: Kind) -> Vectors:
        return np.asarray([vector(model, kind, text) for text in texts], dtype=np.float32)

    return embed


def vectors_by_graph(release: Release) -> Embed:
    """Return the encoder of a release with a real graph, run in this process."""
    encoder = OnnxEncoder(release.path, RuntimeSettings(device="cpu"))

    def embed(texts: Sequence[str], kind: Kind) -> Vectors:
        encode = encoder.encode_queries if kind == "query" else encoder.encode_passages
        return encode(texts, SilentProgress())

    return embed


@dataclass
class FakeLoader:
    """Loads any release except those that are known not to start."""

    downloads: Downloads
    broken: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    slow_s: float = 0.0
    embed: Callable[[Release], Embed] = vectors_by_name

    def load(self, name: str, others: Sequence[Loaded], tell: Tell) -> Loaded:
        release = self.downloads.fetch(name)
        self.log.append(f"load {name[:16]} next to {', '.join(sorted(other.release.id[:16] for other in others))}")
        for _ in range(5):
            tell("loading")
            time.sleep(self.slow_s / 5)
        if name in self.broken:
            raise GateError(f"{name[:16]} does not start")
        drift = ask(self.embed(release), read_proof(release.path / PROOF_FILE), "memory")
        require_close(drift, release.record.proving.min_cosine)
        return Loaded(release, [f"model {len(self.log)}"], drift)

    def check(self, loaded: Loaded) -> EndpointDrift:
        return ask(self.embed(loaded.release), read_proof(loaded.release.path / PROOF_FILE), "memory")

    def expose(self, loaded: Loaded, serving: Path) -> None:
        pass

    def unload(self, loaded: Loaded) -> None:
        self.log.append(f"unload {loaded.release.id[:16]}")


@dataclass
class FakeReplica:
    """A follower and what it serves."""

    loader: FakeLoader
    follower: Follower
    reader: ServingReader
    stalled: threading.Event = field(default_factory=threading.Event)

    def serving(self) -> Serving:
        return self.reader.read()

    def answers(self) -> str | None:
        """Return the release that answers clients now."""
        return self.reader.read().live_at(time.monotonic())


def a_replica(
    store: ReleaseStore,
    folder: Path,
    name: str = "replica",
    canary_s: float = 300.0,
    kept: Kept | None = None,
    cache: Path | None = None,
) -> FakeReplica:
    """Return a replica whose follower does not run yet."""
    folder.mkdir(parents=True, exist_ok=True)
    loader = FakeLoader(Downloads(store, folder / DOWNLOADS, cache))
    follower = Follower(store.objects, loader, folder, name, canary_s, kept)  # type: ignore[arg-type]
    return FakeReplica(loader, follower, ServingReader(folder / SERVING_FILE))


@contextmanager
def following(*replicas: FakeReplica) -> Iterator[None]:
    """Let replicas follow in threads while the block runs; a stalled one neither reads nor reports."""
    ended = threading.Event()

    def poll(replica: FakeReplica) -> None:
        while not ended.is_set():
            if not replica.stalled.is_set():
                replica.follower.poll()
            replica.follower.wait(0.05, 0.05)

    def work(replica: FakeReplica) -> None:
        while not ended.is_set():
            if replica.stalled.is_set() or not replica.follower.step():
                ended.wait(0.02)

    with ExitStack() as stack:
        threads = [
            threading.Thread(target=target, args=(replica,)) for replica in replicas for target in (poll, work)
        ]
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        stack.callback(ended.set)
        yield
