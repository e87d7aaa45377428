"""API keys of the local cloud, made as `offpeak keys create` makes them."""

from __future__ import annotations

from collections.abc import Mapping

from offpeak.aws.accounts import DynamoAccounts
from offpeak.aws.changes import DynamoChanges
from offpeak.aws.clock import SystemClock
from offpeak.aws.table import Table
from offpeak.local.deploy import session_of
from offpeak.steps.create_key import CreatedKey, create_key

KEY_NAME = "local"


class Keys:
    def __init__(self, environment: Mapping[str, str], stage: str) -> None:
        client = session_of(environment).client(
            "dynamodb", endpoint_url=environment["AWS_ENDPOINT_URL"]
        )
        self._accounts = DynamoAccounts(Table(client, f"offpeak-{stage}-accounts"))
        self._changes = DynamoChanges(client, lambda name: f"offpeak-{stage}-{name}")

    def create(self, account: str) -> CreatedKey:
        """A key of the account of this name, which is made if it isn't there."""
        return create_key(
            account,
            KEY_NAME,
            make_account=True,
            clock=SystemClock(),
            accounts=self._accounts,
            changes=self._changes,
        )
