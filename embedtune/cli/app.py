"""The command line: every command, in the order of the work."""

from importlib.metadata import entry_points

import click

from embedtune import __version__
from embedtune.cli.bases import bases
from embedtune.cli.clean import clean
from embedtune.cli.compare import compare
from embedtune.cli.config import config
from embedtune.cli.curve import curve
from embedtune.cli.data import eval_set, record
from embedtune.cli.forget import forget
from embedtune.cli.help_layout import SectionedGroup, as_typed, examples
from embedtune.cli.push import push
from embedtune.cli.questions import questions
from embedtune.cli.reindex import reindex
from embedtune.cli.releases import release
from embedtune.cli.reporting import EXIT_CODES
from embedtune.cli.run import demo, run
from embedtune.cli.search import search
from embedtune.cli.serve import gateway, serve
from embedtune.cli.setup import doctor, estimate, init, local_llm, report
from embedtune.cli.stages import STAGE_COMMANDS
from embedtune.cli.status import status

SECTIONS = {
    "Start": (demo, init, config, local_llm, doctor, estimate, bases, run, status, report, compare, curve),
    "Stages": STAGE_COMMANDS,
    "Serve": (push, release, serve, gateway, search, reindex),
    "Data": (questions, eval_set, record, forget, clean),
}
EPILOG = "\n\n".join(
    (
        examples("embedtune demo --work demo", "embedtune run docs --preset minilm --work work"),
        as_typed("Exit codes", *(f"{code:<4} {meaning}" for code, meaning in EXIT_CODES.items())),
        as_typed(
            "Shell completion, in the start-up file of your shell",
            'bash  eval "$(_EMBEDTUNE_COMPLETE=bash_source embedtune)"',
            'zsh   eval "$(_EMBEDTUNE_COMPLETE=zsh_source embedtune)"',
            "fish  _EMBEDTUNE_COMPLETE=fish_source embedtune | source",
        ),
    )
)


@click.group(cls=SectionedGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Tune an embedding model on a folder of documents and measure whether it helped.

    `embedtune COMMAND --help` describes a command and shows examples.
    """


def added_commands() -> dict[str, tuple[click.Command, ...]]:
    """Return the commands that installed packages add, sorted by name, with the title of their section."""
    entries = sorted(entry_points(group="embedtune.commands"), key=lambda entry: entry.name)
    return {"Kubeflow": tuple(entry.load() for entry in entries)} if entries else {}


cli.add_sections(SECTIONS)
cli.add_later(added_commands)
