"""What an operator does by `offpeak` is in the audit trail: who, what, when; and nothing in it opens anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from offpeak.local.cloud import LocalCloud
from tests.e2e.caller import Caller
from tests.e2e.command import offpeak

pytestmark = [pytest.mark.cloud]


def test_keys_limits_and_credits_are_traced_to_whoever_changed_them(
    cloud: LocalCloud, caller: Caller, tmp_path: Path
) -> None:
    account = caller.account_id

    def run(*arguments: str) -> str:
        environment = {**cloud.environment, "OFFPEAK_STAGE": "local"}
        done = offpeak(*arguments, environment=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    secret = run("keys", "create", "--account", account).strip()
    key_id = run("keys", "list", "--account", account).splitlines()[-1].split("\t")[0]
    run("accounts", "limits", account, "--open-batches", "7")
    run("accounts", "limits", account)  # looking changes nothing
    run("accounts", "retention", account, "5")
    run("credits", "add", account, "12.50", "--note", "a gift")
    run("keys", "revoke", key_id)

    entries: list[dict[str, Any]] = json.loads(run("audit", account, "--json"))
    assert [entry["action"] for entry in entries] == [
        "offpeak keys revoke",
        "offpeak credits add",
        "offpeak accounts retention",
        "offpeak accounts limits",
        "offpeak keys create",
    ]
    assert all(entry["actor"].startswith("arn:aws:") for entry in entries)
    assert all(entry["account_ids"] == [account] for entry in entries)
    assert [entry["at"] for entry in entries] == sorted((e["at"] for e in entries), reverse=True)
    details = [json.loads(entry["details"]) for entry in entries]
    assert details[0][f"ApiKey {key_id}"]["revoked_at"] >= entries[-1]["at"]
    assert details[2][f"Account {account}"]["retention_days"] == 5
    assert details[3][f"Account {account}"]["limits"]["open_batches_max"] == 7
    assert secret not in json.dumps(entries)
    assert account in run("audit").replace("\t", " ")
