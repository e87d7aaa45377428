"""A shuffled file whose prompts begin alike is reordered across shards, and comes back in the order it was sent in."""

from __future__ import annotations

from collections import defaultdict

import pytest

from offpeak.aws.connect import Aws
from offpeak.wire.manifest import iterate_shards
from offpeak.wire.prompts import prompt_reader
from offpeak.wire.segments import read_lines
from tests.e2e.caller import Caller
from tests.e2e.follow import until_ended
from tests.e2e.lines import (
    MODEL,
    assert_each_once_in_input_order,
    chat_line,
    ids,
    jsonl,
    parse,
    shuffled_questions,
)

pytestmark = [pytest.mark.cloud]

CHAT = "/v1/chat/completions"
OTHER = "offpeak/tiny-embed"


def test_a_shuffled_file_is_reordered_and_comes_back_in_its_own_order(
    caller: Caller, aws: Aws
) -> None:
    lines = shuffled_questions()
    # Among them a few of another model, in order as they are, one that fails, and one that is refused.
    for n in range(0, 2_600, 260):
        lines[n] = chat_line(f"line-{n:05}", "Hello.", OTHER)
    lines[1_234] = chat_line("line-01234", "[[status=400]]")
    lines[2_345] = chat_line("line-02345", "hello", "nobody/knows-it")
    client = caller.sdk()
    file = client.files.create(file=("lines.jsonl", jsonl(lines)), purpose="batch")
    asked = {
        "input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", "on_invalid": "skip",
    }  # fmt: skip
    batch_id = caller.call("POST", "/batches", json=asked).json()["id"]
    ended = until_ended(client, batch_id, 240.0)
    assert ended.status == "completed"
    output, errors = (
        parse(client.files.content(each or "").text)
        for each in (ended.output_file_id, ended.error_file_id)
    )
    assert_each_once_in_input_order(lines, output, errors)
    assert ids(errors) == ["line-01234", "line-02345"]

    runs = {run.model: run for run in aws.runs.of_batch(batch_id)}
    assert runs[MODEL].is_reordered
    assert not runs[OTHER].is_reordered
    shards_of: dict[bytes, set[int]] = defaultdict(set)
    for shard, _, _ in iterate_shards(aws.reader.stream(runs[MODEL].manifest_key)):
        for _, raw in read_lines(aws.reader, shard.segments):
            shards_of[prompt_reader(CHAT).read(raw)[:1_024]].add(shard.number)
    assert runs[MODEL].shards > 1
    assert sum(len(shards) == 1 for shards in shards_of.values()) >= len(shards_of) - 1
