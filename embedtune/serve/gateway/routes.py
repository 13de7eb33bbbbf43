"""Which release answers a request: the names that clients may send, and what the replica serves."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from embedtune.core.errors import ArtifactError
from embedtune.core.formatting import duration
from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.release.record import short
from embedtune.serve.replica.serving import LONGEST_PAUSE_S, Serving, ServingReader, silent

InputType = Literal["query", "passage"]
INPUT_TYPES: tuple[InputType, ...] = ("query", "passage")
CANDIDATE = "candidate"
EITHER = "either"  # live or candidate, for clients that have an index of both and read which one answered
RELEASE_HEADER = "x-embedtune-release"
SHORTEST = 8  # characters of an id that name a release


@dataclass(frozen=True)
class Route:
    """Where a request goes; one request has one route, so that its answer comes from one release.

    Args:
        release: The release that answers.
        model: Its endpoint model in Triton.
        name: The model name that the answer carries; sent again, it pins this release.
        input_type: Whether the model name says that the texts are queries or passages.
    """

    release: str
    model: str
    name: str
    input_type: InputType | None


class Routes:
    """The releases behind a gateway.

    Args:
        reader: What the replica serves.
        model: The model name that clients know.
        share: Share of the requests to NAME@either that the candidate answers.
        chance: Returns a number from 0 to 1.
    """

    def __init__(
        self, reader: ServingReader, model: str, share: float = 0.0, chance: Callable[[], float] = random.random
    ) -> None:
        self._reader = reader
        self.model = model
        self._share = share
        self._chance = chance

    def find(self, name: str) -> Route:
        """Return the route of a request.

        Args:
            name: NAME, NAME-query or NAME-passage, optionally followed by @ID, @candidate or @either.

        Raises:
            RefusedError: There is no such model, the pinned release is gone, or none may answer now.
        """
        plain, _, pin = name.partition("@")
        if plain not in self._plain_names() or ("@" in name and not pin):
            raise self._unknown(f"there is no model {name[:80]!a}")
        serving, now = self._serving(), self._reader.now()
        pinned = pin not in ("", EITHER)
        if pinned or (pin and self._share and self._chance() < self._share and _pinned(serving, CANDIDATE)):
            release = _pinned(serving, pin if pinned else CANDIDATE)
        else:
            release = serving.live_at(now)
        if release is None or silent(serving, now):
            if pinned and not silent(serving, now):
                raise self._unknown(f"release {pin[:80]!a} is not loaded")
            raise RefusedError(503, _reason(serving, now), code="unavailable", retry_after_s=1)
        kind = plain[len(self.model) + 1 :]
        return Route(
            release,
            str(serving.model_of(release)),
            f"{plain}@{short(release)}",
            next((entry for entry in INPUT_TYPES if entry == kind), None),
        )

    async def await_switch(self, name: str) -> None:
        """Wait while it is not known whether a switch has happened: about a second at most.

        Args:
            name: The model name of the request; one that pins a release waits for nothing.
        """
        _, _, pin = name.partition("@")
        deadline = self._reader.now() + LONGEST_PAUSE_S
        while pin in ("", EITHER) and (now := self._reader.now()) < deadline:
            if not (pause := self._serving().pause(now)):
                return
            await asyncio.sleep(min(pause, deadline - now))

    def successor(self, release: str) -> Route | None:
        """Return the route of the candidate, if there is one that is proven and the given release is live."""
        serving, now = self._serving(), self._reader.now()
        if serving.live_at(now) != release or not _pinned(serving, CANDIDATE):
            return None
        return self.find(f"{self.model}@{CANDIDATE}")

    def remark(self) -> str | None:
        """Return what whoever runs this should know, although requests are answered; None: nothing."""
        serving = self._serving()
        if not serving.kept or serving.read_at is None:
            return None
        age = duration(self._reader.now() - serving.read_at)
        return f"{serving.doing}; what is live is known from a pointer that was read {age} ago"

    def names(self) -> list[str]:
        """Return the names that clients may send now, without those that pin a release for queries or passages."""
        serving = self._serving()
        pins = [short(entry.id) for entry in serving.proven]
        if serving.candidate is not None and serving.model_of(serving.candidate):
            pins += [CANDIDATE, EITHER] if self._share else [CANDIDATE]
        return [*self._plain_names(), *(f"{self.model}@{pin}" for pin in pins)]

    def require(self, name: str) -> None:
        """Refuse a model name that is not served now; raises what `find` raises, but not that none may answer."""
        try:
            self.find(name)
        except RefusedError as error:
            if error.status == 404:
                raise

    def _serving(self) -> Serving:
        try:
            return self._reader.read()
        except ArtifactError as error:  # the replica and the gateway are restarted one after the other
            what = f"the replica was started by a different version of embedtune (start it again): {error.what}"
            raise RefusedError(503, what, code="unavailable", retry_after_s=10) from error

    def _plain_names(self) -> list[str]:
        return [self.model, *(f"{self.model}-{kind}" for kind in INPUT_TYPES)]

    def _unknown(self, what: str) -> RefusedError:
        served = f"{what}; this gateway serves {', '.join(self.names())}"
        return RefusedError(404, served, code="model_not_found", param="model")


def _pinned(serving: Serving, pin: str) -> str | None:
    """Return the release that a pin means, if it may answer."""
    if pin == CANDIDATE:
        return serving.candidate if serving.candidate and serving.model_of(serving.candidate) else None
    found = [entry.id for entry in serving.proven if entry.id.startswith(pin)] if len(pin) >= SHORTEST else []
    return found[0] if len(found) == 1 else None


def _reason(serving: Serving, now: float) -> str:
    if silent(serving, now):
        return "the server does not report what it serves"
    if serving.kept and serving.fence_at is not None and now > serving.fence_at:
        return f"another release may be live by now: {serving.doing}"
    if serving.live is None:
        return f"no release is live: {serving.doing or 'waiting for the first one'}"
    return f"the live release is not ready on this replica: {serving.doing or 'a switch is in progress'}"
