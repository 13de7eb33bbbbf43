"""The page at `/`: what base and tuned model find for one question, side by side."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.onnx import OnnxEncoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import InputError
from embedtune.core.progress import SilentProgress
from embedtune.core.retrieval.beir import read_records
from embedtune.core.retrieval.comparison import BASE, DEPTH, TUNED, Ranking, compare
from embedtune.serve.gateway.refusal import RefusedError

ABOUT_FILE, CORPUS_FILE = "playground.json", "corpus.jsonl"
PROBES = 4  # passages whose vectors must be those of the served model
MIN_COSINE = 0.95  # another precision of the same model stays above
HOW = "start the gateway with --playground DIR, where `embedtune search WORK --playground DIR` wrote"

Embed = Callable[[list[str], str], Awaitable[Vectors]]


class Question(BaseModel):
    """What is looked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str = Field(min_length=1, max_length=2000)
    count: int = Field(default=10, ge=1, le=50, description="Results wanted of each model.")


class Playground:
    """Passages with their vectors of both models, and the base model itself.

    Args:
        folder: What `embedtune search --playground` wrote.
        embed: Texts and their input type to vectors of the served model.

    Raises:
        InputError: The folder lacks something.
    """

    def __init__(self, folder: Path, embed: Embed) -> None:
        if not (folder / ABOUT_FILE).is_file():
            raise InputError(f"{folder} is not a playground", expected=f"a file {ABOUT_FILE}", fix=HOW)
        self.about: dict[str, Any] = json.loads((folder / ABOUT_FILE).read_text())
        self._passages = read_records(folder / CORPUS_FILE)
        self._vectors = {model: np.load(folder / f"{model}.npy", mmap_mode="r") for model in (BASE, TUNED)}
        self._base = OnnxEncoder(folder / BASE, RuntimeSettings(device="cpu"))
        self._embed = embed
        self._checked = False

    async def search(self, question: Question) -> dict[str, Any]:
        """Return the first results of both models.

        Raises:
            RefusedError: The model that is served is not the one whose vectors the playground holds.
        """
        await self._check()
        (query,) = await self._embed([question.query], "query")
        rankings = await asyncio.to_thread(self._rank, question.query, query)
        found = compare(rankings, self._passages, question.count)
        return {model: [asdict(hit) for hit in hits] for model, hits in found.items()}

    async def _check(self) -> None:
        if self._checked:
            return
        texts = [passage.text for passage in self._passages[:PROBES]]
        served, stored = await self._embed(texts, "passage"), self._vectors[TUNED][: len(texts)]
        if served.shape != stored.shape or (served * stored).sum(axis=1).min() < MIN_COSINE:
            raise RefusedError(
                409,
                "the playground holds vectors of another model than the one that is served: write it anew",
                code="other_model",
            )
        self._checked = True

    def _rank(self, text: str, tuned: Vectors) -> dict[str, Ranking]:
        (base,) = self._base.encode_queries([text], SilentProgress())
        return {model: ranking(self._vectors[model] @ vector) for model, vector in ((BASE, base), (TUNED, tuned))}


def ranking(scores: Vectors) -> Ranking:
    """Return the best places with their scores; of equal scores the lower place comes first."""
    places = np.arange(len(scores))
    if len(scores) > DEPTH:
        places = np.flatnonzero(scores >= np.partition(scores, -DEPTH)[-DEPTH])
    order = places[np.lexsort((places, -scores[places]))][:DEPTH]
    return [(int(place), float(scores[place])) for place in order]


def add_playground(app: FastAPI, playground: Playground | None) -> None:
    """Add the page and what it asks.

    Args:
        app: The gateway.
        playground: What the page shows; None: it says how one is made.
    """
    page = (resources.files(__package__) / "page.html").read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": security_policy(page), "Cache-Control": "no-cache"}

    def opened() -> Playground:
        if playground is None:
            raise RefusedError(404, f"there is no playground here: {HOW}", code="no_playground")
        return playground

    @app.get("/", include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    @app.get("/playground", include_in_schema=False)
    async def about() -> dict[str, Any]:
        return opened().about

    @app.post("/playground", include_in_schema=False)
    async def search(question: Question) -> dict[str, Any]:
        return await opened().search(question)


def security_policy(page: str) -> str:
    """Return the policy under which a page may use its own script and style, ask this server, and nothing else."""
    hashes = {}
    for tag in ("script", "style"):
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline]
        hashes[tag] = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; connect-src 'self'; script-src {hashes['script']}; style-src {hashes['style']}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
