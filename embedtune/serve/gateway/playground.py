"""The page at `/`: the passages that the base and tuned models find for one question, side by side."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from msgspec import Meta

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.onnx import OnnxEncoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import InputError
from embedtune.core.progress import SilentProgress
from embedtune.core.records.base import read_record
from embedtune.core.records.playground import ABOUT_FILE, PlaygroundRecord
from embedtune.core.retrieval.beir import read_records
from embedtune.core.retrieval.side_by_side import BASE, DEPTH, TUNED, Hit, Ranking, compare
from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.json_body import decode_short

CORPUS_FILE = "corpus.jsonl"
PROBES = 4  # passages whose vectors must match those of the served model
MIN_COSINE = 0.95  # the same model in another precision is above this
HOW = "start the gateway with --playground DIR, a directory that `embedtune search WORK --playground DIR` wrote"

# Returns the vectors and the id of the release that they come from.
Embed = Callable[[list[str], str], Awaitable[tuple[Vectors, str]]]


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question for both models, and the number of results per model."""

    query: Annotated[str, Meta(min_length=1, max_length=2000)]
    count: Annotated[int, Meta(ge=1, le=50)] = 10


class Playground:
    """Passages with their vectors from both models, and the base model itself.

    Args:
        folder: Directory that `embedtune search --playground` wrote.
        embed: Embeds texts of an input type with the served model.

    Raises:
        InputError: The directory is not a playground.
        ArtifactError: It was written by a different version of embedtune.
    """

    def __init__(self, folder: Path, embed: Embed) -> None:
        if not (folder / ABOUT_FILE).is_file():
            raise InputError(f"{folder} is not a playground", expected=f"a file {ABOUT_FILE}", fix=HOW)
        self.about = read_record(folder / ABOUT_FILE, PlaygroundRecord)
        self._passages = read_records(folder / CORPUS_FILE)
        self._vectors = {model: np.load(folder / f"{model}.npy", mmap_mode="r") for model in (BASE, TUNED)}
        self._base = OnnxEncoder(folder / BASE, RuntimeSettings(device="cpu"))
        self._embed = embed
        self._checked: str | None = None  # the release whose vectors match

    async def search(self, question: Question) -> dict[str, list[Hit]]:
        """Return the first results of both models.

        Raises:
            RefusedError: The playground was written for a model other than the one being served.
        """
        (query,), release = await self._embed([question.query], "query")
        await self._check(release)
        rankings = await asyncio.to_thread(self._rank, question.query, query)
        return compare(rankings, self._passages, question.count)

    async def _check(self, release: str) -> None:
        if self._checked == release:
            return
        texts = [passage.text for passage in self._passages[:PROBES]]
        served, release = await self._embed(texts, "passage")
        stored = self._vectors[TUNED][: len(texts)]
        if served.shape != stored.shape or (served * stored).sum(axis=1).min() < MIN_COSINE:
            raise RefusedError(
                409,
                "the playground was written for a model other than the one being served: write it again",
                code="other_model",
            )
        self._checked = release

    def _rank(self, text: str, tuned: Vectors) -> dict[str, Ranking]:
        (base,) = self._base.encode_queries([text], SilentProgress())
        return {model: ranking(self._vectors[model] @ vector) for model, vector in ((BASE, base), (TUNED, tuned))}


def ranking(scores: Vectors) -> Ranking:
    """Return the best positions with their scores; equal scores are ordered by position."""
    places = np.arange(len(scores))
    if len(scores) > DEPTH:
        places = np.flatnonzero(scores >= np.partition(scores, -DEPTH)[-DEPTH])
    order = places[np.lexsort((places, -scores[places]))][:DEPTH]
    return [(int(place), float(scores[place])) for place in order]


def add_playground(app: FastAPI, playground: Playground | None) -> None:
    """Add the page and the routes that it calls.

    Args:
        app: The gateway.
        playground: What the page shows; None: the page explains how to create one.
    """
    page = (resources.files(__package__) / "playground.html").read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": security_policy(page), "Cache-Control": "no-cache"}

    def opened() -> Playground:
        if playground is None:
            raise RefusedError(404, f"this gateway has no playground: {HOW}", code="no_playground")
        return playground

    @app.get("/", include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    @app.get("/playground", include_in_schema=False)
    async def about() -> PlaygroundRecord:
        return opened().about

    @app.post("/playground", include_in_schema=False)
    async def search(request: Request) -> dict[str, list[Hit]]:
        site, kind = opened(), request.headers.get("content-type", "")
        return await site.search(decode_short(await request.body(), kind, Question))


def security_policy(page: str) -> str:
    """Return a content security policy: the page's own script and style, and requests to this server only."""
    hashes = {}
    for tag in ("script", "style"):
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline]
        hashes[tag] = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; connect-src 'self'; script-src {hashes['script']}; style-src {hashes['style']}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
