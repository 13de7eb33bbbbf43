"""Render report.html and model_card.md from whatever artifacts a work directory contains."""

import json
from pathlib import Path

import jinja2

from embedtune.core.formatting import signed
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.report import outcome, process
from embedtune.report.card import complete_model_card
from embedtune.report.metric_rows import SYSTEMS, metric_title
from embedtune.report.work import Work, open_work

REPORT_FILE = "report.html"


def render_report(work: str | Path) -> Path:
    """Write `report.html` and, where there is a model, `model_card.md` into a work directory.

    The page is one file that refers to no other: it looks the same offline, in an e-mail and in a sandboxed frame.
    Equal artifacts give an equal page, byte for byte.

    Args:
        work: Directory with one directory per artifact; missing artifacts are left out of the
            page, and so are those of a different version of embedtune, with a warning.

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
    draft.write_text(_html(opened), encoding="utf-8")
    draft.replace(page)
    if "model" in opened.manifests:
        complete_model_card(work)
    return page


def _html(work: Work) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,  # documents, questions and set names are untrusted
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"metric_title": metric_title, "signed": signed, "excerpt": excerpt}
    origin = process.provenance(work)
    evaluation = outcome.read_evaluation(work)
    return environment.get_template("report.html").render(
        base_model=origin.contract.base_model,
        metric=DECIDING_METRIC,
        systems=SYSTEMS,
        banner=outcome.banner(evaluation) if evaluation else None,
        tiles=process.tiles(work),
        warnings=process.warnings(work),
        results=outcome.results(evaluation) if evaluation else None,
        gains=outcome.gains(work, evaluation) if evaluation else None,
        slices=outcome.slices(evaluation) if evaluation else [],
        examples=outcome.examples(evaluation) if evaluation else [],
        questions=process.questions(work),
        mining=process.mining(work),
        training=process.training(work),
        parity=process.parity(work),
        stages=process.stages(work),
        provenance=origin,
        contract=origin.contract.model_dump(mode="json"),
        config_text=json.dumps(origin.config, indent=2, ensure_ascii=False),
    )


def excerpt(text: str, length: int) -> str:
    """Return the beginning of a text, cut between words, with whitespace collapsed."""
    joined = " ".join(text.split())
    return joined if len(joined) <= length else joined[:length].rpartition(" ")[0] + " …"
