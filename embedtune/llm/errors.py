"""The errors of LLM calls, for one request or for the whole run."""

from embedtune.core.errors import EmbedtuneError

WAYS_OUT = (
    "configure an OpenAI-compatible LLM endpoint (generate.llm.base_url and generate.llm.model); "
    "or run a model on this machine (the extra local-llm: `pip install xllamacpp`, then "
    "`embedtune local-llm MODEL.gguf`, which prints what to set); "
    "or replay a recording made from the same documents (generate.recording)"
)


class ItemError(EmbedtuneError):
    """One request got no usable reply. The run continues, and the item is kept with its error.

    Args:
        prompt: Name of the prompt.
        kind: Short reason by which failed items are counted, such as `wrong schema` or `HTTP 500`.
        detail: What exactly was wrong, safe to display.
        fix: What the user can do about it, if anything helps.
        transient: Whether the same request may get a reply later: the LLM endpoint failed, not the request.
    """

    def __init__(
        self, prompt: str, kind: str, detail: str, *, fix: str | None = None, transient: bool = False
    ) -> None:
        super().__init__(f"prompt {prompt}: no usable reply ({kind})", got=detail, fix=fix)
        self.prompt = prompt
        self.kind = kind
        self.detail = detail
        self.transient = transient


class SlowReply(EmbedtuneError):
    """An LLM endpoint has refused nothing, but not replied in the time that someone is ready to wait.

    Args:
        url: The LLM endpoint, safe to display.
        waited_s: Seconds that were waited.
    """

    def __init__(self, url: str, waited_s: float) -> None:
        super().__init__(
            f"the LLM endpoint {url} has not replied within {waited_s:.0f} s",
            fix="raise timeout_s of this LLM endpoint, or use a faster server or a smaller model",
        )
        self.waited_s = waited_s


class ReplayMiss(EmbedtuneError):
    """The recording that is replayed has no reply to a request.

    Args:
        prompt: Name of the prompt.
        difference: What differs between the request and the recording.
        recorded: The content of the recording that differs.
    """

    def __init__(self, prompt: str, difference: str, recorded: str) -> None:
        super().__init__(
            f"the recording has no reply to a request with prompt {prompt}",
            got=difference,
            expected=recorded,
            fix=f"{WAYS_OUT}; or record again with these documents and prompts",
        )
        self.prompt = prompt


def printable(text: str, limit: int = 300) -> str:
    """Return untrusted text in a form safe for a log or terminal: one line of at most `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
