"""Leaves out of text what is data: long runs of letters and digits, such as pictures encoded in base64."""

import re

from embedtune.ingest.encodings import Remark

SHORTEST = 200  # characters; no word, path or URL that people write is that long
_BLOB = re.compile(rf"[A-Za-z0-9+/=_%-]{{{SHORTEST},}}(?:\n[A-Za-z0-9+/=]{{40,}})*")


def without_blobs(text: str, remark: Remark) -> str:
    """Replace encoded data by an ellipsis, and say so."""
    shorter, count = _BLOB.subn("…", text)
    if count:
        remark("encoded data inside the text is not read")
    return shorter
