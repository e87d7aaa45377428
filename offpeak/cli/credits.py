"""`offpeak credits …`: an operator's commands, with AWS credentials straight on the tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from offpeak.cli.deployment import Stage, deployment, named_account
from offpeak.cli.show import say, show_rows, time_text
from offpeak.cli.words import checked
from offpeak.core.account import Account, Billing
from offpeak.core.ledger import EVER, Balance, dollars, parse_dollars
from offpeak.steps.add_credits import add_credits, check_credits
from offpeak.steps.set_billing import set_billing

app = typer.Typer(
    no_args_is_help=True, help="Credits and billing, for operators with AWS credentials."
)
AccountName = Annotated[str, typer.Argument(metavar="NAME|ID", help="Whose.")]


@app.command()
def show(
    account: Annotated[
        str | None, typer.Argument(metavar="[NAME|ID]", help="One; by default all.")
    ] = None,
    stage: Stage = "dev",
) -> None:
    """Show what accounts have: free to spend, and held for batches that run."""
    with deployment(stage, "accounts", "ledger") as aws:
        owners = aws.accounts.list() if account is None else [named_account(aws, account)]
        found = [(owner, aws.ledger.balance(owner.id)) for owner in owners]
    show_rows(
        ("account", "name", "billing", "free", "held"),
        (_row(owner, balance) for owner, balance in found),
    )


@app.command(context_settings={"ignore_unknown_options": True})  # a negative amount is no option
def add(
    account: AccountName,
    amount: Annotated[str, typer.Argument(metavar="DOLLARS", help="25.00; -5 takes some back.")],
    note: Annotated[str, typer.Option(help="What for; it is kept in the ledger.")] = "",
    reference: Annotated[
        str | None,
        typer.Option(help="A payment's number: credits of the same one are added once."),
    ] = None,
    stage: Stage = "dev",
) -> None:
    """Add credits to an account."""
    with checked():
        microdollars = parse_dollars(amount)
        check_credits(microdollars, note, reference)
    with deployment(stage, "accounts", "ledger") as aws:
        owner = named_account(aws, account)
        balance = add_credits(
            owner.id, microdollars, note=note, reference=reference,
            clock=aws.clock, ledger=aws.ledger, changes=aws.changes,
        )  # fmt: skip
    say(f"{owner.name} ({owner.id}) has {dollars(balance.microdollars)} free to spend.")
    if owner.billing is Billing.OFF:
        say(
            f"Its billing is off: nothing is charged. `offpeak credits set-billing {owner.name} enforce` changes that."
        )


@app.command("set-billing")
def change_billing(
    account: AccountName,
    billing: Annotated[Billing, typer.Argument(help="off, meter or enforce.")],
    stage: Stage = "dev",
) -> None:
    """Say whether an account is charged (meter), and refused when its credits are used up (enforce)."""
    with deployment(stage, "accounts", "ledger") as aws:
        owner = set_billing(
            named_account(aws, account).id, billing, accounts=aws.accounts, changes=aws.changes
        )
    say(
        f"Billing of {owner.name} ({owner.id}) is {owner.billing}, for batches planned from now on; "
        "the API knows within 60 s."
    )


@app.command()
def ledger(
    account: AccountName,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000, help="At most so many, latest first.")
    ] = 20,
    stage: Stage = "dev",
) -> None:
    """List an account's entries, latest first. Their sum is its balance."""
    with deployment(stage, "accounts", "ledger") as aws:
        page = aws.ledger.entries(
            named_account(aws, account).id, start=0, stop=EVER, limit=limit, after=None,
            ascending=False,
        )  # fmt: skip
    show_rows(
        ("at", "kind", "amount", "source", "note"),
        ((time_text(e.at), e.kind, dollars(e.microdollars), e.source, e.note) for e in page.rows),
    )
    if page.has_more:
        say(f"… and earlier ones; --limit {min(10 * limit, 1_000)} shows more.")


def _row(owner: Account, balance: Balance) -> Sequence[str]:
    free, held = dollars(balance.microdollars), dollars(balance.held_microdollars)
    return owner.id, owner.name, owner.billing, free, held
