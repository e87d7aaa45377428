"""A deployment as its operator reaches it: with AWS credentials, straight on its tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Annotated

import typer
import typer.main
from botocore.exceptions import BotoCoreError, ClientError

from offpeak.aws.connect import Aws
from offpeak.cli.errors import CliError, UsageError
from offpeak.core.account import KEY_PEPPER, Account
from offpeak.core.errors import OffpeakError
from offpeak.steps.audited_changes import AuditedChanges
from offpeak.steps.create_key import find_account

Stage = Annotated[
    str, typer.Option(envvar="OFFPEAK_STAGE", help="Which deployment: tables offpeak-STAGE-….")
]


AUDIT = "audit"


class Operated(Aws):
    """The ports of an operator: whatever a command changes is in the audit trail, under the identity of its AWS
    credentials and the command's name."""

    @property
    def _bucket(self) -> str:
        account, region = self.identity.split(":")[4], self.region
        return f"offpeak-{self._setting('OFFPEAK_STAGE')}-{account}-{region}"

    @cached_property
    def changes(self) -> AuditedChanges:  # type: ignore[override]
        # Typer carries a click of its own; this is where it lets one at it.
        context = typer.main.get_current_context(silent=True)  # type: ignore[attr-defined]
        return AuditedChanges(
            super().changes, clock=self.clock, actor=self.identity,
            action=context.command_path if context else "offpeak",
        )  # fmt: skip


@contextmanager
def deployment(stage: str, *tables: str) -> Iterator[Operated]:
    """The ports on these tables; what goes wrong there as a sentence."""
    names = {
        f"OFFPEAK_TABLE_{table.upper()}": f"offpeak-{stage}-{table}" for table in (*tables, AUDIT)
    }
    try:
        pepper = f"offpeak-{stage}-{KEY_PEPPER}"
        yield Operated({"OFFPEAK_STAGE": stage, "OFFPEAK_KEY_PEPPER": pepper, **names})
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "ResourceNotFoundException":
            raise CliError(
                f"There is no table {' or '.join(names.values())} in this AWS account and region. "
                "Deploy first, or name the deployment with --stage (and the region with AWS_REGION)."
            ) from None
        raise CliError(f"AWS refused: {error}") from None
    except BotoCoreError as error:
        raise UsageError(
            f"AWS can't be called: {str(error).rstrip('.')}. Check AWS credentials and AWS_REGION."
        ) from None
    except OffpeakError as error:
        raise CliError(error.message) from None


def named_account(aws: Aws, account: str) -> Account:
    """The account of this name or id. Raises CliError."""
    found = find_account(account, aws.accounts)
    if found is None:
        raise CliError(f"There is no account {account!r}; `offpeak keys list` shows them.")
    return found
