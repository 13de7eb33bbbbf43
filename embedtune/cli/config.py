"""The commands `embedtune config …`."""

import os
from dataclasses import asdict
from typing import Any

import click

from embedtune.cli import views
from embedtune.cli.help_layout import OrderedGroup, examples
from embedtune.cli.options import build_config, config_options, config_source, output_options
from embedtune.cli.reporting import out, reporting, show
from embedtune.core.config.load import load_config
from embedtune.core.config.origins import settings_of


@click.group(
    cls=OrderedGroup,
    epilog=examples("embedtune config show --config embedtune.yaml", "embedtune config show --base gte-small"),
)
def config() -> None:
    """Show the configuration.

    Says where each value comes from.
    """


@config.command(
    "show",
    epilog=examples(
        "embedtune config show --config embedtune.yaml", "embedtune config show --preset llama-embed-1b --json"
    ),
)
@config_options
@output_options
def show_settings(as_json: bool, verbose: bool, **options: Any) -> None:
    """Show every setting and its origin.

    The origin is a default, the preset, its base model, the file, --set, or the environment.
    """
    with reporting(verbose):
        used = build_config(options, os.environ)
        source, overrides = config_source(options)
        settings = settings_of(source, overrides, load_config(source, overrides), used)
    show([asdict(entry) for entry in settings], as_json, lambda: out.print(views.settings_table(settings)))
