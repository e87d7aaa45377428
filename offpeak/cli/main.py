"""The entry point of `offpeak`: the commands, and every error as one sentence."""

from __future__ import annotations

import sys

import typer

from offpeak.cli import (
    accounts,
    audit,
    batches,
    drop,
    files,
    images,
    keys,
    models,
    plan,
    pools,
    usage,
    weights,
)
from offpeak.cli.credits import app as credits_app
from offpeak.cli.errors import CliError
from offpeak.cli.estimate import estimate
from offpeak.cli.footprint import footprint
from offpeak.cli.redrive import redrive
from offpeak.cli.show import plain, say

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Batches of LLM requests, in your own AWS account.",
)
app.command()(batches.submit)
app.command()(batches.status)
app.command()(batches.results)
app.command()(batches.cancel)
app.command("list")(batches.list_batches)
app.command()(drop.drop)
app.command()(estimate)
app.command()(footprint)
app.command()(usage.usage)
app.command()(audit.audit)
app.command()(redrive)
app.add_typer(files.app, name="files")
app.add_typer(images.app, name="images")
app.add_typer(keys.app, name="keys")
models.app.command()(weights.stage)
app.add_typer(credits_app, name="credits")
app.add_typer(models.app, name="models")
app.add_typer(pools.app, name="pools")
app.add_typer(plan.app, name="plan")
app.add_typer(accounts.app, name="accounts")


def main() -> None:
    """Runs one command and exits: 0 it worked, 1 it did not, 2 the command line is wrong, 130 Ctrl-C."""
    try:
        app(prog_name="offpeak")
    except CliError as error:
        say(f"offpeak: {plain(error.message)}")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
