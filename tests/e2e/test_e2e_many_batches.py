"""Small batches beside large ones, and many at once: none waits behind a large one, none gets lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from openai import OpenAI
from openai.types import Batch

from offpeak.aws.connect import Aws
from tests.e2e.caller import Caller
from tests.e2e.follow import until, until_ended
from tests.e2e.lines import assert_each_once_in_input_order, chat_line, chat_lines, jsonl, parse

pytestmark = [pytest.mark.cloud]

SHARD_LINES = 2_000
# Two shards that hold the two slots which any run may have, until they are cancelled, and a third that waits for one.
LONG = [
    chat_line(f"line-{n:05}", f"[[sleep=600]] {n}" if n % SHARD_LINES < 20 else f"{n}")
    for n in range(2 * SHARD_LINES + 1)
]
SMALL = chat_lines(10, "small")
AT_ONCE = 40


def _create(client: OpenAI, lines: list[dict[str, object]]) -> Batch:
    file = client.files.create(file=("lines.jsonl", jsonl(lines)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )


def _output(client: OpenAI, batch: Batch) -> list[dict[str, object]]:
    assert batch.output_file_id is not None
    return parse(client.files.content(batch.output_file_id).text)


def test_ten_lines_end_while_a_long_batch_of_the_same_account_or_another_holds_its_slots(
    new_caller: Callable[[], Caller], aws: Aws
) -> None:
    large, other = new_caller(), new_caller()
    client = large.sdk()
    long = _create(client, LONG)
    until(client, long.id, lambda batch: batch.status == "in_progress", 120)
    until(client, long.id, lambda batch: aws.runs.get(batch.id, 0).open == 2, 120)
    for caller in (large, other, large):
        small = _create(caller.sdk(), SMALL)
        ended = until_ended(caller.sdk(), small.id, 120)
        assert ended.status == "completed"
        assert_each_once_in_input_order(SMALL, _output(caller.sdk(), ended))
        held = aws.runs.get(long.id, 0)
        assert (held.shards, held.cursor, held.open) == (3, 2, 2)
    client.batches.cancel(long.id)
    assert until_ended(client, long.id, 120).status == "cancelled"


def test_of_many_batches_at_once_none_is_lost(new_caller: Callable[[], Caller]) -> None:
    """Of two accounts, one of them with most; of one line to some hundred."""
    many, few = new_caller(), new_caller()
    sizes = [1, 10, 150]
    wanted = [
        (few if n % 6 == 0 else many, chat_lines(sizes[n % 3], f"batch-{n}"))
        for n in range(AT_ONCE)
    ]
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda each: _create(each[0].sdk(), each[1]), wanted))
    for (caller, lines), batch in zip(wanted, batches, strict=True):
        ended = until_ended(caller.sdk(), batch.id, 240)
        assert ended.status == "completed"
        assert_each_once_in_input_order(lines, _output(caller.sdk(), ended))
