"""The sample handbook of a fictional kelp works, with handwritten questions, for the demo and the tests."""

import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
HANDBOOK = HERE / "handbook"
QUESTIONS = HERE / "questions.jsonl"
RECORDING = HERE / "recording.jsonl.gz"


def build_handwritten_set(work: Path) -> Path:
    """Build a BEIR set from the handwritten questions and return its directory.

    Args:
        work: A work directory whose `chunks` artifact was made from the handbook.
    """
    from embedtune.evaluate.quoted_set import build_quoted_set

    target, draft = work / "handwritten", work / ".handwritten.draft"
    shutil.rmtree(draft, ignore_errors=True)
    build_quoted_set(QUESTIONS, work / "chunks", draft)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    return target
