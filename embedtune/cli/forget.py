"""The command `embedtune forget`: a withdrawn document leaves what embedtune keeps."""

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
        "embedtune forget a.md b.md --config embedtune.yaml --yes",
    )
)
@click.argument("documents", nargs=-1, required=True)
@config_options
@work_option()
@click.option("--yes", is_flag=True, help="Delete without asking first.")
def forget(documents: tuple[str, ...], work: Path, yes: bool, **options: Any) -> None:
    """Forget withdrawn documents.

    DOCUMENTS are paths as ingest read them, or ids. Deletes what contains their text: LLM replies about them, all
    vectors and artifacts in WORK, and releases whose reference texts quote them. LLM replies about
    other documents are kept. Remove the documents from the source first, then run again.
    """
    from embedtune.deploy.site import open_store
    from embedtune.local.forget import forget as delete
    from embedtune.local.forget import what_to_forget

    with reporting(verbose=False):
        config = build_config(options, os.environ)
        secrets = secrets_of(config.generate, os.environ)
        store = open_store(config.release, config.storage, secrets, (work / "cache").resolve())
        found = what_to_forget(work, documents, store)
        for line in found.sentences():
            out.print(line, soft_wrap=True, highlight=False)
        if not yes and not _agreed():
            out.print("nothing was deleted")
            return
        delete(found, store)
        if found.still_live:
            raise GateError(
                "the live release still quotes the documents; everything else is deleted",
                got=found.still_live,
                fix=f"deploy a new release, then run `embedtune release delete {found.still_live}`",
            )
    out.print(f"forgotten: {', '.join(sorted(found.text.paths.values()))}", soft_wrap=True)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("embedtune forget deletes files and cannot ask here", fix="add --yes")
    return click.confirm("Delete?", default=False)
