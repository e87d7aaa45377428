"""API keys of the local cloud, made as `offpeak keys create` makes them."""

from __future__ import annotations

from collections.abc import Mapping

from offpeak.aws.accounts import DynamoAccounts
from offpeak.aws.changes import DynamoChanges
from offpeak.aws.clock import SystemClock
from offpeak.aws.table import Table
from offpeak.aws.webhooks import ManagedKeyHashes
from offpeak.core.account import KEY_PEPPER
from offpeak.local.deploy import session_of
from offpeak.steps.create_key import CreatedKey, create_key

KEY_NAME = "local"


class Keys:
    def __init__(self, environment: Mapping[str, str], stage: str) -> None:
        session, url = session_of(environment), environment["AWS_ENDPOINT_URL"]
        client = session.client("dynamodb", endpoint_url=url)
        self._accounts = DynamoAccounts(Table(client, f"offpeak-{stage}-accounts"))
        self._changes = DynamoChanges(client, lambda name: f"offpeak-{stage}-{name}")
        self._key_hashes = ManagedKeyHashes(
            session.client("secretsmanager", endpoint_url=url), f"offpeak-{stage}-{KEY_PEPPER}"
        )

    def create(self, account: str) -> CreatedKey:
        """A key of the account of this name, which is made if it isn't there."""
        return create_key(
            account,
            KEY_NAME,
            make_account=True,
            clock=SystemClock(),
            accounts=self._accounts,
            changes=self._changes,
            key_hashes=self._key_hashes,
        )
