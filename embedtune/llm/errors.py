"""What can go wrong with an LLM, for one item or for a whole run."""

from embedtune.core.errors import EmbedtuneError

WAYS_OUT = (
    "configure an OpenAI-compatible endpoint (generate.llm.base_url and generate.llm.model); "
    "or run a model here (the extra local-llm: `pip install xllamacpp`, then `embedtune local-llm MODEL.gguf`, "
    "which says what to set); "
    "or replay a recording made from the same documents (generate.recording)"
)


class ItemError(EmbedtuneError):
    """One ask got no usable reply: the item is kept with its error, and the run goes on.

    Args:
        prompt: Name of the prompt.
        kind: Short reason that failed items are counted by, such as `wrong schema` or `HTTP 500`.
        detail: What exactly was wrong, fit to be shown.
        fix: What the user can do about it, where something helps.
    """

    def __init__(self, prompt: str, kind: str, detail: str, *, fix: str | None = None) -> None:
        super().__init__(f"prompt {prompt}: no usable reply ({kind})", got=detail, fix=fix)
        self.prompt = prompt
        self.kind = kind
        self.detail = detail


class ReplayMiss(EmbedtuneError):
    """A recording is replayed and holds no reply to an ask.

    Args:
        prompt: Name of the prompt.
        difference: What differs between the ask and the recording.
        recorded: What the recording holds instead.
    """

    def __init__(self, prompt: str, difference: str, recorded: str) -> None:
        super().__init__(
            f"the recording holds no reply to an ask of prompt {prompt}",
            got=difference,
            expected=recorded,
            fix=f"{WAYS_OUT}; or record again with these documents and prompts",
        )
        self.prompt = prompt


def printable(text: str, limit: int = 300) -> str:
    """Return foreign text fit for a log or a terminal: one line, no control characters, cut at `limit`."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
