"""The command `embedtune forget`: a withdrawn document or query leaves what embedtune keeps."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from embedtune.cli.help_layout import examples
from embedtune.cli.options import build_config, config_options, work_option
from embedtune.cli.reporting import out, reporting
from embedtune.core.errors import ConfigError, GateError
from embedtune.core.secrets import secrets_of


@click.command(
    epilog=examples(
        "embedtune forget contracts/smith.docx --work work",
        "embedtune forget --query 'ada byron salary' --feedback s3://asked/feedback --yes",
    )
)
@click.argument("documents", nargs=-1)
@click.option("--query", "queries", multiple=True, metavar="TEXT", help="Query of a person to forget; repeatable.")
@click.option(
    "--feedback",
    "places",
    multiple=True,
    metavar="PLACE",
    help="Where a gateway keeps feedback: a directory or s3://bucket/prefix, in addition to split.human_pairs.",
)
@config_options
@work_option()
@click.option("--yes", is_flag=True, help="Delete without asking first.")
def forget(
    documents: tuple[str, ...],
    queries: tuple[str, ...],
    places: tuple[str, ...],
    work: Path,
    yes: bool,
    **options: Any,
) -> None:
    """Forget withdrawn documents and queries.

    DOCUMENTS are paths as ingest read them, or ids. Deletes what contains their text: LLM replies about them, all
    vectors and artifacts in WORK, releases whose reference texts quote them, and feedback about them. LLM replies
    about other documents are kept. Remove the documents from the source first, then run again.
    """
    if not documents and not queries:
        raise click.UsageError("give DOCUMENTS or --query TEXT")
    from embedtune.deploy.site import open_store
    from embedtune.local.forget import forget as delete
    from embedtune.local.forget import what_to_forget
    from embedtune.local.forget_feedback import FeedbackPlace
    from embedtune.serve.store.directory import open_objects

    with reporting(verbose=False):
        config = build_config(options, os.environ)
        secrets = secrets_of(config.generate, os.environ)
        store = open_store(config.release, config.storage, secrets, (work / "cache").resolve())
        named = [one.place for one in config.split.human_pairs if one.kind == "feedback"]
        addresses = dict.fromkeys([*places, *named])
        kept = [FeedbackPlace(open_objects(place, config.storage, secrets)) for place in addresses]
        found = what_to_forget(work, documents, store, kept, queries)
        for line in found.sentences():
            out.print(line, soft_wrap=True, highlight=False)
        if not yes and not _agreed():
            out.print("nothing was deleted")
            return
        delete(found, store, kept)
        if found.still_live:
            raise GateError(
                "the live release still quotes the documents; everything else is deleted",
                got=found.still_live,
                fix=f"deploy a new release, then run `embedtune release delete {found.still_live}`",
            )
    text = found.withdrawn.text
    names = sorted(text.paths.values()) if text else []
    names += [f"{len(queries)} queries"] if queries else []
    out.print(f"forgotten: {', '.join(names)}", soft_wrap=True)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("embedtune forget deletes files and cannot ask here", fix="add --yes")
    return click.confirm("Delete?", default=False)
