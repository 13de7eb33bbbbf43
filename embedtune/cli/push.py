"""The command `embedtune push`."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from embedtune.cli.help_layout import examples
from embedtune.cli.options import build_config, output_options, settings_options, work_option, yes_option
from embedtune.cli.reporting import err, out, reporting, show
from embedtune.core.errors import ConfigError, GateError
from embedtune.core.secrets import secrets_of

if TYPE_CHECKING:
    from embedtune.push.contents import Contents
    from embedtune.push.target import Found, Pushed, Target


@click.command(
    epilog=examples(
        "embedtune push hf://acme/handbook-embeddings --licence apache-2.0",
        "embedtune push s3://models/handbook-2 --work work --yes",
    )
)
@click.argument("address", metavar="ADDRESS")
@work_option()
@click.option(
    "--licence", metavar="ID", help="Licence of the model, as the Hub names it: apache-2.0, cc-by-4.0, …"
)
@click.option("--base-model", metavar="OWNER/NAME", help="The base model's repository. [default: the contract's]")
@click.option("--dataset", "datasets", multiple=True, metavar="OWNER/NAME", help="A data set it was trained on.")
@click.option("--public", is_flag=True, help="Let everybody read a Hub repository; it is private otherwise.")
@click.option("--any-verdict", is_flag=True, help="Push a model whose verdict is not WIN too.")
@settings_options
@yes_option
@output_options
def push(address: str, work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Push the tuned model with its card.

    ADDRESS is hf://OWNER/NAME, oci://HOST/REPOSITORY:TAG or s3://BUCKET/PREFIX. Shows what will be uploaded and
    asks; the same command again uploads only what differs. Credentials: HF_TOKEN; OCI_USERNAME and OCI_PASSWORD;
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    """
    from embedtune.push.contents import gather, require_win
    from embedtune.push.target import credentials_of, target_of
    from embedtune.report.card_metadata import CardFacts

    with reporting(verbose), TemporaryDirectory(prefix="embedtune-push-") as staging:
        config = build_config(options, os.environ)
        credentials = credentials_of(os.environ, secrets_of(config.generate, os.environ))
        target = target_of(address, credentials, config.storage, Path(staging))
        facts = CardFacts(options["base_model"], options["licence"], options["datasets"])
        contents = gather(work, facts, target.model, Path(staging))
        require_win(contents, any_verdict=options["any_verdict"])
        plan = _Plan(address, target, contents, target.inspect(), options["public"])
        err.print(*plan.lines(licence=options["licence"]), sep="\n", markup=False, highlight=False, soft_wrap=True)
        plan.confirm(yes=options["yes"])
        pushed = target.push(contents, public=options["public"])
    record = {"address": pushed.address, "changed": pushed.changed, "files": sorted(contents.files)}
    show(
        record, as_json, lambda: out.print(plan.said_after(pushed), markup=False, highlight=False, soft_wrap=True)
    )


@dataclass(frozen=True)
class _Plan:
    """What will be pushed, as the user sees it."""

    address: str
    target: "Target"
    contents: "Contents"
    found: "Found"
    public: bool

    def lines(self, *, licence: str | None) -> list[str]:
        files = [f"  {name}  {path.stat().st_size / 1e6:,.2f} MB" for name, path in self.contents.files.items()]
        verdict = self.contents.verdict
        base = self.contents.contract.base_model
        notes = [] if licence else ["! the card does not name a licence (--licence); the base model's applies"]
        if Path(base).is_absolute():
            notes.append(f"! the card and embedtune.json name the base model's folder: {base}")
        return [
            *files,
            f"{len(files)} files, {self.contents.size / 1e6:,.2f} MB, to {self.address}",
            f"there now: {self.found.said}",
            f"verdict: {f'{verdict.verdict.value} on {verdict.decided_on}' if verdict else 'not evaluated'}",
            *notes,
        ]

    def confirm(self, *, yes: bool) -> None:
        """Ask, unless told not to; a public place needs to be named as one.

        Raises:
            GateError: The repository is public, and --public was not given.
            ConfigError: Nobody can be asked, because stdin is not a terminal.
        """
        if self.found.public and not self.public:
            raise GateError(
                "everybody can read this repository, and the model has learned from your documents",
                got=self.address,
                fix="make it private on the Hub, or add --public",
            )
        if yes:
            return
        if not sys.stdin.isatty():
            raise ConfigError("nobody can be asked whether to push", fix="add --yes")
        click.confirm("Push?", abort=True, err=True)

    def said_after(self, pushed: "Pushed") -> str:
        from embedtune.push.loading import how_to_load

        done = f"{'pushed' if pushed.changed else 'nothing changed since the last push'}: {pushed.address}"
        code = how_to_load(self.contents.contract, self.target.model)
        fetch = [f"\nto load it: {self.target.download}"] if self.target.download else []
        return "\n".join([done, *fetch, *(f"\n{name}:\n{text.rstrip()}" for name, text in code.items())])
