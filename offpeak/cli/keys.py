"""`offpeak keys create|list|revoke`: an operator's commands, with AWS credentials straight on the accounts table."""

from __future__ import annotations

from typing import Annotated

import typer

from offpeak.cli.deployment import Stage, deployment, named_account
from offpeak.cli.show import say, show_rows, time_text
from offpeak.steps.create_key import create_key
from offpeak.steps.revoke_key import revoke_key

DEFAULT_ACCOUNT = "default"
app = typer.Typer(no_args_is_help=True, help="API keys, for operators with AWS credentials.")

AccountName = Annotated[
    str | None,
    typer.Option("--account", metavar="NAME|ID", help="Whose keys; by default 'default'."),
]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")] = "api",
    account: AccountName = None,
    new_account: Annotated[
        bool, typer.Option("--new-account", help="Make the account if it isn't there.")
    ] = False,
    stage: Stage = "dev",
) -> None:
    """Make a key and print it. It is shown this once; only its hash is kept."""
    with deployment(stage, "accounts") as aws:
        made = create_key(
            account or DEFAULT_ACCOUNT,
            name,
            make_account=new_account or account is None,
            clock=aws.clock,
            accounts=aws.accounts,
            changes=aws.changes,
        )
    say(
        f"Key {made.key.id} of account {made.account.name} ({made.account.id}). Keep it; it is not shown again:"
    )
    print(made.secret)


@app.command("list")
def list_keys(account: AccountName = None, stage: Stage = "dev") -> None:
    """List keys: what they end in, never what they are."""
    with deployment(stage, "accounts") as aws:
        owners = aws.accounts.list() if account is None else [named_account(aws, account)]
        keys = [(owner, key) for owner in owners for key in aws.accounts.keys(owner.id)]
    show_rows(
        ("key", "account", "name", "ends in", "created", "revoked"),
        ((key.id, owner.name, key.name, f"…{key.last4}", time_text(key.created_at), time_text(key.revoked_at))
         for owner, key in keys),
    )  # fmt: skip


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Its id, as `keys list` shows it.")],
    stage: Stage = "dev",
) -> None:
    """Revoke a key. It opens nothing any more 60 s later."""
    with deployment(stage, "accounts") as aws:
        revoke_key(key_id, clock=aws.clock, accounts=aws.accounts, changes=aws.changes)
    say(f"Revoked {key_id}. It stops working within 60 s.")
