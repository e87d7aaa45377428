"""What must be true of a batch that has ended, whatever died on its way: its lines, its counts, its bill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openai.types import Batch

from offpeak.aws.connect import Aws
from offpeak.core.ledger import EVER, EntryKind
from offpeak.core.pricing import batch_prices, cost_microdollars
from offpeak.core.usage import Usage
from offpeak.local.models import PRICES
from tests.e2e.caller import Caller
from tests.e2e.lines import assert_each_once_in_input_order, parse
from tests.faults.faulty_cloud import CREDITS

Line = Mapping[str, Any]


def assert_nothing_lost(
    aws: Aws,
    caller: Caller,
    ended: Batch,
    lines: Sequence[dict[str, Any]],
    status: str = "completed",
) -> Mapping[str, Line]:
    """The error lines by custom id. Every line of the input has its own answer or its own error, once and in order;
    counts and usage are theirs; the caller has paid for the answers, once, and nothing is held any more."""
    assert ended.status == status
    output, errors = (
        parse(caller.sdk().files.content(file).text) if file else []
        for file in (ended.output_file_id, ended.error_file_id)
    )
    assert_each_once_in_input_order(lines, output, errors)
    texts = {line["custom_id"]: line["body"]["messages"][0]["content"] for line in lines}
    for line in output:
        answer = line["response"]["body"]["choices"][0]["message"]["content"]
        assert answer == texts[line["custom_id"]]
    counts = ended.request_counts
    assert counts is not None
    found = (counts.total, counts.completed, counts.failed)
    assert found == (len(lines), len(output), len(errors))
    _assert_paid(aws, caller, ended, output)
    return {line["custom_id"]: line for line in errors}


def _assert_paid(aws: Aws, caller: Caller, ended: Batch, output: Sequence[Line]) -> None:
    used = Usage.sum(map(_usage, output))
    assert ended.usage is not None
    told = (ended.usage.input_tokens, ended.usage.output_tokens)
    assert told == (used.input_tokens, used.output_tokens)
    cost = cost_microdollars(batch_prices(PRICES), used)
    page = aws.ledger.entries(
        caller.account_id, start=0, stop=EVER, limit=100, after=None, ascending=True
    )
    settled = [e.microdollars for e in page.rows if e.kind is EntryKind.SETTLE]
    held = [e.microdollars for e in page.rows if e.kind in (EntryKind.HOLD, EntryKind.RELEASE)]
    assert settled == ([-cost] if cost else []), (settled, cost, page.rows)
    assert sum(held) == 0
    balance = aws.ledger.balance(caller.account_id)
    assert (balance.microdollars, balance.held_microdollars) == (CREDITS - cost, 0)


def _usage(line: Line) -> Usage:
    """What the answer says, unless no answer can have taken that."""
    said = line["response"]["body"]["usage"]
    read, written = said["prompt_tokens"], said["completion_tokens"]
    if not (0 <= read < 10**9 and 0 <= written < 10**9):
        return Usage()
    return Usage(input_tokens=read, output_tokens=written)
