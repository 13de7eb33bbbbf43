"""Render report.html and model_card.md from whatever artifacts a work directory contains."""

import json
from pathlib import Path

from markupsafe import Markup

from embedtune import __version__
from embedtune.core.retrieval.hybrid import RULE
from embedtune.report import outcome, process
from embedtune.report.card import complete_model_card
from embedtune.report.evaluation import read_evaluation
from embedtune.report.first_screen import DEPLOY, FirstScreen, date_of, first_screen
from embedtune.report.metric_rows import SYSTEMS, measured_sentence
from embedtune.report.templates import page_templates
from embedtune.report.work import Work, open_work

REPORT_FILE = "report.html"
CONTENTS = {  # the parts below the first screen by their anchor, in their order
    "reasons": "Likely reasons, and what to change",
    "warnings": "Caveats",
    "results": "Results",
    "gains": "Gains and losses, question by question",
    "slices": "Where tuning helps and where it hurts",
    "examples": "Examples of wins and losses",
    "training": "Training",
    "parity": "The exported engine",
    "mining": "Hard negatives",
    "questions": "Questions",
    "documents": "Documents",
    "stages": "Stages",
    "provenance": "Provenance",
}


def render_report(work: str | Path, deploy: str = DEPLOY) -> Path:
    """Write `report.html` and, where there is a model, `model_card.md` into a work directory.

    The page is one file that refers to no other: it looks the same offline, in an e-mail and in a sandboxed frame.
    Equal artifacts give an equal page, byte for byte.

    Args:
        work: Directory with one directory per artifact; missing artifacts are left out of the
            page, and so are those of a different version of embedtune, with a warning.
        deploy: The sentence that says how a better model goes live.

    Returns:
        The path of the page.

    Raises:
        InputError: The directory contains no artifact.
        ArtifactError: A manifest or record is damaged, a record is of another version, or all manifests are.
    """
    work = Path(work)
    opened = open_work(work)
    page = work / REPORT_FILE
    draft = work / f".{REPORT_FILE}.draft"
    draft.write_text(_html(opened, deploy), encoding="utf-8")
    draft.replace(page)
    if "model" in opened.manifests:
        complete_model_card(work)
    return page


def _html(work: Work, deploy: str) -> str:
    environment = page_templates()
    environment.filters |= {"excerpt": excerpt, "with_code": with_code}
    origin = process.provenance(work)
    evaluation = read_evaluation(work)
    parts: dict[str, object] = {
        "screen": first_screen(work, evaluation, deploy) if evaluation else None,
        "warnings": process.warnings(work),
        "results": outcome.results(evaluation) if evaluation else None,
        "gains": outcome.gains(evaluation) if evaluation else None,
        "slices": outcome.slices(evaluation) if evaluation else [],
        "examples": outcome.examples(evaluation) if evaluation else [],
        "training": process.training(work),
        "parity": process.parity(work),
        "mining": process.mining(work),
        "questions": process.questions(work),
        "documents": process.documents(work),
        "stages": process.stages(work),
        "provenance": origin,
    }
    present = {name for name, part in parts.items() if part} | ({"reasons"} if _has_reasons(parts) else set())
    return environment.get_template("report.html").render(
        **parts,
        hybrid_rule=RULE,
        contents=[(name, title) for name, title in CONTENTS.items() if name in present],
        date=date_of(work),
        version=__version__,
        systems=SYSTEMS,
        evaluation=evaluation,
        champion=outcome.champion_sentence(evaluation) if evaluation else None,
        measured=measured_sentence(evaluation.verdict.measured) if evaluation else "",
        tiles=process.tiles(work),
        contract=origin.contract.model_dump(mode="json"),
        config_text=json.dumps(origin.config, indent=2, ensure_ascii=False),
    )


def _has_reasons(parts: dict[str, object]) -> bool:
    screen = parts["screen"]
    return isinstance(screen, FirstScreen) and bool(screen.reasons)


def with_code(text: str) -> Markup:
    """Return a text with what is in backquotes set as code; everything else is escaped."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:  # a backquote without its partner is only a character
        parts[-2:] = ["`".join(parts[-2:])]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts)
    )


def excerpt(text: str, length: int) -> str:
    """Return the beginning of a text, cut between words, with whitespace collapsed."""
    joined = " ".join(text.split())
    return joined if len(joined) <= length else joined[:length].rpartition(" ")[0] + " …"
