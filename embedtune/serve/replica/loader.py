"""Loads a release into Triton and proves it: the only way in which a model comes to answer clients."""

import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import ConfigError
from embedtune.core.records.deployment import EndpointDrift
from embedtune.serve.release.model_repository import remove_models, write_live_model, write_models
from embedtune.serve.release.proof import Kind, ask, read_proof, require_close, shuffled
from embedtune.serve.release.record import PROOF_FILE, Release, short
from embedtune.serve.replica.downloads import Downloads
from embedtune.serve.replica.memory import require_memory
from embedtune.serve.triton.gpu import count_gpus
from embedtune.serve.triton.models import Models
from embedtune.serve.triton.server import TritonServer, require_runnable

log = logging.getLogger(__name__)
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Loaded:
    """A release that this Triton has loaded and proven.

    Args:
        release: The release.
        models: Its models in Triton, in the order of their loading; the last one is the endpoint model.
        drift: How close its vectors are to the trained ones.
        checked: When they were compared, by the monotonic clock.
    """

    release: Release
    models: Sequence[str]
    drift: EndpointDrift
    checked: float = field(default_factory=time.monotonic)

    @property
    def model(self) -> str:
        """Name of the endpoint model."""
        return self.models[-1]


@dataclass(frozen=True)
class Loader:
    """Loads releases of a store into one Triton.

    Args:
        downloads: Where releases come from.
        server: The Triton.
        models: Its models.
        target: The only target that may be loaded; None: any that this Triton can run.
    """

    downloads: Downloads
    server: TritonServer
    models: Models
    target: str | None

    def load(self, name: str, others: Sequence[Loaded], tell: Tell) -> Loaded:
        """Download, verify, load and prove a release.

        Args:
            name: Its id.
            others: The releases that are loaded already and stay.
            tell: Called with each step, in words.

        Raises:
            EmbedtuneError: One of the steps failed; nothing of the release stays loaded.
        """
        tell(f"downloading release {short(name)}")
        release = self.downloads.fetch(name)
        self._require_allowed(release)
        require_memory(release, [other.release for other in others])
        tell(f"loading release {short(name)}")
        settings = release.record.serve
        # A name that no other load gives: whoever knows it means this process and this proof.
        model = f"{settings.model_name}@{short(name)}.{secrets.token_hex(4)}"
        cache = self.server.cache_mb > 0 and settings.response_cache_mb > 0
        names = write_models(release, model, self.server.repository, cache=cache, gpus=count_gpus(os.environ))
        try:
            self.models.load(names)
            tell(f"proving release {short(name)}")
            drift = self._ask(release, model)
            require_close(drift, release.record.proving.min_cosine)
        except BaseException:
            self.models.unload(names)
            remove_models(model, self.server.repository)
            raise
        log.info("release %s is proven: cosine similarity of at least %.5f", short(name), drift.cosine.min)
        return Loaded(release, names, drift)

    def expose(self, loaded: Loaded, serving: Path) -> None:
        """Let clients of Triton's own ports reach the live release under the name of the endpoint model.

        Args:
            loaded: The live release.
            serving: The file that says which release is live at any moment.
        """
        settings = loaded.release.record.serve
        if write_live_model(settings, serving, self.server.repository, count_gpus(os.environ)):
            self.models.load([settings.model_name])

    def unload(self, loaded: Loaded) -> None:
        """Unload a release, after the requests in progress; what was downloaded stays until `Downloads.tidy`."""
        self.models.unload(loaded.models)
        remove_models(loaded.model, self.server.repository)
        log.info("release %s is unloaded", short(loaded.release.id))

    def check(self, loaded: Loaded) -> EndpointDrift:
        """Embed the reference texts of a release again, in the process that answers clients.

        Args:
            loaded: The release.

        Raises:
            GateError: The model does not answer, so nothing is known about its vectors.
        """
        return self._ask(loaded.release, loaded.model)

    def _ask(self, release: Release, model: str) -> EndpointDrift:
        batch = release.record.serve.max_batch_size

        def embed(texts: Sequence[str], kind: Kind) -> Vectors:
            return self.models.embed(model, texts, kind, batch)

        ports = self.server.ports
        proof = read_proof(release.path / PROOF_FILE)
        return ask(embed, shuffled(proof), f"grpc://{ports.grpc_address}:{ports.grpc}")

    def _require_allowed(self, release: Release) -> None:
        if self.target and release.target != self.target:
            raise ConfigError(
                f"release {short(release.id)} is for a different target",
                got=release.target,
                expected=self.target,
                fix="export with the export.target of this installation, or install the chart for that target",
            )
        require_runnable(release, self.server.installation)
