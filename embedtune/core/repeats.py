"""Repeated warnings become one line with a count."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

SHOWN = 3  # of warnings that differ only in their details
# For `extra` of a warning that says nothing new when it is repeated: it is not even counted.
ONCE: Mapping[str, object] = {"once": True}


@dataclass(eq=False)
class Repeats(logging.Filter):
    """Lets through the first warnings of a kind, and counts the others.

    It inherits because logging wants a filter. A kind is what one place in the code says: the
    message before its details are put in.
    """

    held_back: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__init__()
        self._seen: Counter[tuple[str, str]] = Counter()
        self._texts: set[str] = set()
        self._last: dict[tuple[str, str], logging.LogRecord] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to show a record."""
        if record.levelno < logging.WARNING:
            return True
        text = record.getMessage()
        if text in self._texts and getattr(record, "once", False):
            return False
        kind = record.name, text if record.msg == "%s" else str(record.msg)
        self._seen[kind] += 1
        self._last[kind] = record
        shown = text not in self._texts and self._seen[kind] <= SHOWN
        self._texts.add(text)
        self.held_back[kind] += not shown
        return shown

    def say(self, handler: logging.Handler) -> None:
        """Have a handler write one line for each kind that was held back, and begin again.

        Args:
            handler: Writes the lines.
        """
        for kind, count in self.held_back.items():
            if count:
                last = self._last[kind]
                text = f"{count} more like this: {last.getMessage()}"
                handler.emit(logging.makeLogRecord({**last.__dict__, "msg": text, "args": None}))
        self.held_back.clear()
        self._seen.clear()
        self._texts.clear()
