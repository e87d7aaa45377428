"""`offpeak audit`: who changed what of a deployment, and when; with AWS credentials straight on its table."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from offpeak.cli.deployment import Stage, deployment, named_account
from offpeak.cli.show import AsJson, show_json, show_rows, time_text


def audit(
    account: Annotated[
        str | None, typer.Argument(metavar="[NAME|ID]", help="What concerns one; by default all.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 20,
    as_json: AsJson = False,
    stage: Stage = "dev",
) -> None:
    """List what operators and administering keys have changed, latest first."""
    with deployment(stage, "accounts") as aws:
        owner = None if account is None else named_account(aws, account).id
        entries = aws.audit.newest(limit, owner)
    if as_json:
        show_json([asdict(entry) for entry in entries])
        return
    show_rows(
        ("at", "who", "what", "of"),
        ((time_text(e.at), e.actor, e.action, ", ".join(e.subjects)) for e in entries),
    )
