"""Asks the user whether a run may spend money."""

import sys
from pathlib import Path

import click

from embedtune.core.errors import ConfigError
from embedtune.core.stage import Context


def confirm_cost(chunks: Path, context: Context) -> None:
    """Ask before a large amount is spent; LLM replies that are cached or recorded cost nothing.

    Raises:
        ConfigError: Nobody can be asked, because stdin is not a terminal.
    """
    from embedtune.generate.estimate import estimate_calls, unpaid_share

    config, cache = context.config, context.cache
    settings = config.generate
    prices = (settings.llm, settings.judge or settings.llm)
    if not any(endpoint.price_in or endpoint.price_out for endpoint in prices):
        return
    share = unpaid_share(chunks, config, cache)
    cost = share * estimate_calls(chunks, config, context.secrets, cache).cost_usd if share else 0.0
    if cost <= settings.confirm_above:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            f"generating questions would cost about {cost:.2f} USD",
            expected=f"at most generate.confirm_above = {settings.confirm_above:.2f} without asking",
            fix="add --yes, or raise generate.confirm_above",
        )
    click.confirm(f"Generating questions will cost about {cost:.2f} USD. Continue?", abort=True, err=True)
