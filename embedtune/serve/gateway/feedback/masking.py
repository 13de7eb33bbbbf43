"""Masks personal data in queries, in a process of its own: the gateway's requests never wait for it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache

from embedtune.core.config.masking import MaskSettings
from embedtune.core.errors import ConfigError
from embedtune.core.personal_data import Finder, mask_text

SETTING = "--feedback-mask"


class Masker:
    """A process that masks.

    Args:
        settings: What to mask.

    Raises:
        ConfigError: Presidio or a spaCy model is not installed, or a kind of personal data is unknown.
    """

    def __init__(self, settings: MaskSettings) -> None:
        self._settings = settings.model_dump_json()
        self._pool = _start()
        if problem := self._pool.submit(prepare, self._settings).result():
            self._pool.shutdown(cancel_futures=True)
            raise ConfigError(problem)

    def mask(self, texts: Sequence[str]) -> list[str | None] | None:
        """Return texts without personal data.

        Returns:
            The texts; None in place of one in which nothing can be found, because the search failed. None in place
            of all: the process has ended, and a new one is started.
        """
        try:
            return self._pool.submit(_mask, self._settings, list(texts)).result()
        except BrokenProcessPool:
            self._pool = _start()
            return None

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _start() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_alone)


def _alone() -> None:
    """Outlive signals to the whole process group, until the gateway has drained; end with the gateway."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - the pool starts this

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@cache
def _finder(settings: str) -> Finder:
    return Finder.of(MaskSettings.model_validate_json(settings), SETTING)


def prepare(settings: str) -> str:
    """Load the models; return what is wrong (errors of ours do not survive the way between processes), or "".

    Args:
        settings: What to mask, as JSON.
    """
    try:
        _finder(settings)
    except ConfigError as error:
        return str(error)
    return ""


def _mask(settings: str, texts: Sequence[str]) -> list[str | None]:
    return [_masked(settings, text) for text in texts]


def _masked(settings: str, text: str) -> str | None:
    try:
        return mask_text(text, _finder(settings).spans(text))
    except Exception:  # whatever the models raise: the query is dropped and counted, and its error may quote it
        return None
