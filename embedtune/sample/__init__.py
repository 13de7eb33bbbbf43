"""The sample handbook of an invented kelp works, with questions written by hand, for the demo and the tests."""

import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
HANDBOOK = HERE / "handbook"
QUESTIONS = HERE / "questions.jsonl"
RECORDING = HERE / "recording.jsonl.gz"


def build_handwritten_set(work: Path) -> Path:
    """Resolve the hand-written questions to the chunks in `work` and return the BEIR directory.

    Args:
        work: A work directory whose `chunks` were made from the handbook.
    """
    from embedtune.evaluate.quoted import build_quoted_set

    target, draft = work / "handwritten", work / ".handwritten.draft"
    shutil.rmtree(draft, ignore_errors=True)
    build_quoted_set(QUESTIONS, work / "chunks", draft)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    return target
