"""What the clients of one run have learned about LLM endpoints: each thing is learned, and said, once."""

import logging

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.core.repeats import ONCE
from embedtune.llm.dialect import SAMPLING, Dialect
from embedtune.llm.wire import shown_url

log = logging.getLogger(__name__)


class Learned:
    """The forms of request that LLM endpoints accept, as far as they are known; several clients may share them."""

    def __init__(self) -> None:
        self._dialects: dict[tuple[object, ...], Dialect] = {}
        self._said: set[str] = set()

    def dialect(self, settings: LLMEndpointSettings) -> Dialect:
        """Return the form of request for an LLM endpoint."""
        return self._dialects.get(_key(settings), Dialect())

    def learn(self, settings: LLMEndpointSettings, dialect: Dialect, why: str) -> None:
        """Keep a form of request, and say so.

        Args:
            settings: The LLM endpoint.
            dialect: The form that it gets from now on.
            why: What it has done, such as "rejects this form of request".
        """
        self._dialects[_key(settings)] = dialect
        text = f"the LLM endpoint {shown_url(settings)} {why}; from now on: {dialect}"
        if text not in self._said:
            self._said.add(text)
            log.warning("%s", text, extra=ONCE)


def _key(settings: LLMEndpointSettings) -> tuple[object, ...]:
    """Return what a form of request is for: a judge at temperature 0 may be refused what a generator may send."""
    return settings.base_url, settings.model, *(getattr(settings, name) for name in SAMPLING)
