"""`offpeak keys …`: an operator's commands, with AWS credentials straight on the accounts table and the pepper."""

from __future__ import annotations

from typing import Annotated

import typer

from offpeak.cli.deployment import Stage, deployment, named_account
from offpeak.cli.durations import parse_duration
from offpeak.cli.show import say, show_rows, time_text
from offpeak.cli.words import check_key_id, checked
from offpeak.core.account import ApiKey, Scope
from offpeak.steps.create_key import CreatedKey, check_key, create_key
from offpeak.steps.revoke_key import revoke_key
from offpeak.steps.rotate_key import check_overlap, rotate_key

DEFAULT_ACCOUNT = "default"
app = typer.Typer(no_args_is_help=True, help="API keys, for operators with AWS credentials.")

AccountName = Annotated[
    str | None,
    typer.Option("--account", metavar="NAME|ID", help="Whose keys; by default 'default'."),
]

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="Its id, as `keys list` shows it.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")] = "api",
    account: AccountName = None,
    new_account: Annotated[
        bool, typer.Option("--new-account", help="Make the account if it isn't there.")
    ] = False,
    scope: Annotated[
        Scope, typer.Option(help="read: look; submit: also make and end work; admin: everything.")
    ] = Scope.ADMIN,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="How long it is good for: 12h, 90d, 52w; else for ever."
        ),
    ] = None,
    requests_per_second: Annotated[
        int | None,
        typer.Option(
            min=1, max=100_000, help="HTTP requests a second of this key alone; else its account's."
        ),
    ] = None,
    stage: Stage = "dev",
) -> None:
    """Make a key and print it. It is shown this once; only its hash is kept."""
    expires_after = None if expires is None else parse_duration(expires, "--expires")
    with checked():
        check_key(account or DEFAULT_ACCOUNT, name, expires_after, requests_per_second)
    with deployment(stage, "accounts") as aws:
        made = create_key(
            account or DEFAULT_ACCOUNT,
            name,
            make_account=new_account or account is None,
            scope=scope,
            expires_after=expires_after,
            requests_per_second=requests_per_second,
            clock=aws.clock,
            accounts=aws.accounts,
            changes=aws.changes,
            key_hashes=aws.key_hashes,
        )
    _show_made(made)


@app.command("list")
def list_keys(account: AccountName = None, stage: Stage = "dev") -> None:
    """List keys: what they end in, never what they are."""
    with deployment(stage, "accounts") as aws:
        owners = aws.accounts.list() if account is None else [named_account(aws, account)]
        keys = [(owner, key) for owner in owners for key in aws.accounts.keys(owner.id)]
        now = aws.clock.now()
    show_rows(
        ("key", "account", "name", "ends in", "created", "revoked", "scope", "expires", "state", "requests/s"),
        ((key.id, owner.name, key.name, f"…{key.last4}", time_text(key.created_at),
          time_text(key.revoked_at), key.scope, time_text(key.expires_at), _state(key, now),
          "" if key.requests_per_second is None else f"{key.requests_per_second:,}")
         for owner, key in keys),
    )  # fmt: skip


@app.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[
        str,
        typer.Option(
            metavar="DURATION", help="How long the old one is good beside it; 0 ends it now."
        ),
    ] = "24h",
    stage: Stage = "dev",
) -> None:
    """Make a key with the same name, scope, limit and lifetime, and end the old one a little later."""
    seconds = 0 if overlap == "0" else parse_duration(overlap, "--overlap")
    check_key_id(key_id)
    with checked():
        check_overlap(seconds)
    with deployment(stage, "accounts") as aws:
        made = rotate_key(
            key_id,
            seconds,
            clock=aws.clock,
            accounts=aws.accounts,
            changes=aws.changes,
            key_hashes=aws.key_hashes,
        )
    say(f"{key_id} stops working {f'in {overlap}' if seconds else 'within 60 s'}, if not before.")
    _show_made(made)


@app.command()
def revoke(
    key_id: KeyId,
    stage: Stage = "dev",
) -> None:
    """Revoke a key. It opens nothing any more 60 s later."""
    check_key_id(key_id)
    with deployment(stage, "accounts") as aws:
        revoke_key(key_id, clock=aws.clock, accounts=aws.accounts, changes=aws.changes)
    say(f"Revoked {key_id}. It stops working within 60 s.")


def _show_made(made: CreatedKey) -> None:
    until = f", good until {time_text(made.key.expires_at)}" if made.key.expires_at else ""
    say(
        f"Key {made.key.id} of account {made.account.name} ({made.account.id}), scope {made.key.scope}{until}. "
        "Keep it; it is not shown again:"
    )
    print(made.secret)


def _state(key: ApiKey, now: float) -> str:
    if not key.is_good(now):
        return "revoked" if key.revoked_at is not None else "expired"
    return "good" if key.is_peppered else "good, without pepper: rotate it"
