"""The token of a gated model, as the container asks for it."""

from __future__ import annotations

import boto3
import pytest

from containers.vllm.main import read_hub_token
from containers.vllm.settings import SettingsError
from offpeak.aws.connect import Aws
from offpeak.core.errors import NotFound
from offpeak.local.emulator import Emulator
from tests.contract import rows

pytestmark = pytest.mark.cloud


@pytest.fixture
def aws(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Aws:
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    return Aws({})


def test_a_secret_is_read_by_its_name_or_its_arn_without_its_last_newline(aws: Aws) -> None:
    name = rows.fresh("hub/token-")
    made = boto3.client("secretsmanager").create_secret(Name=name, SecretString="hf_right\n")
    assert aws.secret(name) == "hf_right"
    assert aws.secret(made["ARN"]) == "hf_right"


def test_a_secret_that_is_not_there_ends_the_container_with_a_sentence(aws: Aws) -> None:
    with pytest.raises(NotFound, match="hub/none"):
        aws.secret("hub/none")
    with pytest.raises(
        SettingsError, match="OFFPEAK_HUB_TOKEN_SECRET: There is no secret hub/none"
    ):
        read_hub_token(aws, "hub/none")
