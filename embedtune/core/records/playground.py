"""`playground.json`: what the gateway's playground page shows in addition to the passages."""

from typing import ClassVar

from embedtune.core.records.base import JsonRecord

ABOUT_FILE = "playground.json"


class PlaygroundRecord(JsonRecord):
    """Written by `embedtune search --playground`, read by the gateway and its page.

    Attributes:
        base_model: The base model, as the contract names it.
        passages: Number of passages.
        examples: Questions that the page offers.
    """

    NAME: ClassVar[str] = "playground"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune search WORK --playground DIR"

    base_model: str
    passages: int
    examples: tuple[str, ...]
