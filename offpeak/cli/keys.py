"""`offpeak keys create|list|revoke`: an operator's commands, with AWS credentials straight on the accounts table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

from offpeak.aws.connect import Aws
from offpeak.cli.errors import CliError, UsageError
from offpeak.cli.show import say, show_rows, time_text
from offpeak.core.account import Account
from offpeak.core.errors import OffpeakError
from offpeak.steps.create_key import create_key, find_account
from offpeak.steps.revoke_key import revoke_key

DEFAULT_ACCOUNT = "default"
app = typer.Typer(no_args_is_help=True, help="API keys, for operators with AWS credentials.")

Stage = Annotated[
    str, typer.Option(envvar="OFFPEAK_STAGE", help="Which deployment: tables offpeak-STAGE-….")
]
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
    with deployment(stage) as aws:
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
    with deployment(stage) as aws:
        owners = aws.accounts.list() if account is None else [account_named(aws, account)]
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
    with deployment(stage) as aws:
        revoke_key(key_id, clock=aws.clock, accounts=aws.accounts, changes=aws.changes)
    say(f"Revoked {key_id}. It stops working within 60 s.")


def account_named(aws: Aws, account: str) -> Account:
    """The account of this name or id."""
    found = find_account(account, aws.accounts)
    if found is None:
        raise CliError(f"There is no account {account!r}; `offpeak keys list` shows them.")
    return found


@contextmanager
def deployment(stage: str) -> Iterator[Aws]:
    """The ports of one deployment; what goes wrong there as a sentence."""
    table = f"offpeak-{stage}-accounts"
    try:
        yield Aws({"OFFPEAK_STAGE": stage, "OFFPEAK_TABLE_ACCOUNTS": table})
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "ResourceNotFoundException":
            raise CliError(
                f"There is no table {table} in this AWS account and region. "
                "Deploy first, or name the deployment with --stage (and the region with AWS_REGION)."
            ) from None
        raise CliError(f"AWS refused: {error}") from None
    except BotoCoreError as error:
        raise UsageError(
            f"AWS can't be called: {str(error).rstrip('.')}. Check AWS credentials and AWS_REGION."
        ) from None
    except OffpeakError as error:
        raise CliError(error.message) from None
