"""A typo is told before AWS is asked: in a sentence, and with no credentials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from offpeak.cli import deployment, pools
from offpeak.cli.errors import UsageError
from offpeak.cli.main import app
from offpeak.core.account import REGIONS_MAX
from offpeak.core.models_text import write_models
from offpeak.steps.add_credits import NOTE_CHARACTERS_MAX
from tests.core.test_pool import MODEL

KEY_ID = "key_000000000000089d4637bc69da11"
"""Always the same: names of tests must not change from process to process."""


class Asked(Exception):
    """AWS would have been."""


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """With a models file, and files for the drop folder."""

    def ask(*_: object) -> None:
        raise Asked

    monkeypatch.setattr(deployment, "Operated", ask)
    monkeypatch.setattr(pools, "resolve_image", ask)
    monkeypatch.chdir(tmp_path)
    Path("models.toml").write_text(write_models([MODEL]))
    for name in ("lines.jsonl", "lines.txt", "lines.output.jsonl"):
        Path(name).write_text("{}\n")
    return tmp_path


def told(words: Sequence[str]) -> BaseException | None:
    return CliRunner().invoke(app, list(words)).exception


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("accounts residency lab us-eats-1", r"'us-eats-1' is no region.* Did you mean us-east-1\?"),
        ("accounts residency lab home eu-north-1", "'home' is no region"),
        ("accounts residency lab EU-NORTH-1", "is no region"),
        (f"accounts residency lab {'eu-north-1 ' * (REGIONS_MAX + 1)}", "at most"),
        ("accounts schedule lab later", "'later' is none of now, offpeak, none"),
        ("accounts schedule lab offpeak --window 90m", "'90m'.*from '1h' to '7d'"),
        ("accounts limits lab --preset opanai", "no preset 'opanai'"),
        ("accounts limits lab --enqueued-tokens many", "whole number"),
        (f"accounts model lab {'m' * 129}", "1 to 128"),
        ("plan hold modle", "no pool 'modle'; there are model"),
        ("plan release model@eu-west-1", "no pool"),
        ("plan boost model 99", "A boost of model takes 1 to"),
        ("plan follow modle", "no pool"),
        ("plan hold model --for 4", "minutes, hours or days"),
        ("plan --models other.toml", "is not here"),
        ("plan hold model --models lines.txt", "can't be read"),
        ("redrive shards", "no queue 'shards'. There are: dispatch.fifo, shard-ended"),
        ("redrive shard-ended-daed --yes", "no queue"),
        ("keys create --expires soon", "--expires takes a duration"),
        ("keys create --expires 999w", "ten years"),
        (f"keys create --name {'n' * 65}", "1 to 64"),
        ("keys revoke sk-0123456789", r"That is no key's id \(key_…\)"),
        ("keys rotate key_0", "no key's id"),
        (f"keys rotate {KEY_ID} --overlap 4y", "--overlap takes a duration"),
        (f"keys rotate {KEY_ID} --overlap 52w", "90 more days"),
        ("credits add lab ten", "ten"),
        ("credits add lab 0", "changes nothing"),
        (f"credits add lab 5 --note {'n' * (NOTE_CHARACTERS_MAX + 1)}", "at most"),
        ("drop other.jsonl", "no such file"),
        ("drop lines.txt", "takes name.jsonl"),
        ("drop lines.output.jsonl", "takes name.jsonl"),
        ("drop lines.jsonl --option completion-widnow=6h", "no option 'completion-widnow'"),
        ("drop lines.jsonl --option on-invalid=maybe", "on_invalid"),
        ("drop lines.jsonl --option schedule", "NAME=VALUE"),
        ("pools pin --region us-eats-1", "Did you mean us-east-1"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_a_sentence_and_aws_is_not_asked(words: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as refused:
        raise told(words.split()) or AssertionError("It was taken.")
    assert "0123456789" not in refused.value.message


@pytest.mark.parametrize(
    "words",
    [
        "accounts residency lab us-east-1 eu-north-1",
        "accounts residency lab cn-north-1",
        "accounts residency lab anywhere",
        "accounts residency lab home",
        "accounts residency lab",
        "accounts schedule lab offpeak --window 12h",
        "accounts schedule lab none --window none",
        "plan hold model@eu-north-1",
        "plan follow model",
        "redrive",
        "redrive shard-ended",
        "redrive shard-ended-dead",
        "redrive dispatch",
        "redrive dispatch-dead.fifo",
        "keys create --expires 90d",
        f"keys revoke {KEY_ID}",
        f"keys rotate {KEY_ID} --overlap 0",
        "credits add lab -5",
        "drop lines.jsonl --option completion-window=6h --option metadata-team=search",
        "pools pin --region eu-north-1 --file base-image",
    ],
)
def test_a_right_word_goes_to_aws(words: str) -> None:
    assert isinstance(told(words.split()), Asked)
