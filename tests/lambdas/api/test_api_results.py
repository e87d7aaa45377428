"""A batch's finished lines while it runs: each once, whatever the order in which its shards end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdas.api.openai.batches import RESULT_HEADERS
from offpeak.core.account import Account, ApiKey
from offpeak.core.batch import BatchStatus
from offpeak.core.layout import work_prefix
from offpeak.core.ports import Add, Save
from offpeak.steps import read_partial_results as step
from offpeak.wire.results import line_number
from offpeak.wire.results_cursor import ReadResults, ReadShards, decode_cursor, encode_cursor
from tests.lambdas.api.client import Answer, Client
from tests.steps.ward import ACCOUNT, BATCH, Ward

PAGES: Any = step.read_partial_results.__kwdefaults__


class Running(Ward):
    """A batch of twelve lines in three shards, all dispatched: the owner's key is `sk-owner`, another's `sk-other`."""

    def __init__(self) -> None:
        super().__init__(lines=12)
        for name, account_id in (("owner", ACCOUNT), ("other", "acct_2")):
            key = ApiKey(
                hash=self.key_hashes.hash_key(f"sk-{name}"), id=f"key_{name}", account_id=account_id,
                name="test", last4="test", created_at=0,
            )  # fmt: skip
            self.changes.commit(Add(key))
        self.changes.commit(Add(Account(id="acct_2", name="b", created_at=0)))
        self.release()
        self.orders = self.dispatch()

    def finish(self, shard: int) -> None:
        self.complete(self.work(self.orders[shard]))


@pytest.fixture
def running() -> Running:
    return Running()


def client(running: Any, secret: str) -> Client:
    return Client(running, secret)


def read(running: Running, secret: str = "sk-owner", **query: str) -> Answer:
    return client(running, secret).get(f"/v1/batches/{BATCH}/results", **query)


def lines(answer: Answer) -> list[int]:
    assert answer.status == 200, answer.text
    return [line_number(line) for line in answer.text.encode().splitlines()]


def test_a_running_batch_gives_the_lines_of_its_done_shards_and_says_that_it_goes_on(
    running: Running,
) -> None:
    nothing = read(running)
    assert (nothing.text, nothing.headers["x-incomplete"]) == ("", "true")
    running.finish(1)
    first = read(running)
    assert sorted(lines(first)) == [5, 6, 7, 8]
    assert first.headers["content-type"] == "application/jsonl"
    assert first.headers["x-batch-status"] == "in_progress"
    assert (first.headers["x-incomplete"], first.headers["x-has-more"]) == ("true", "false")
    described = {name.lower() for name in RESULT_HEADERS}
    assert described == {n for n in first.headers if n.startswith("x-")} - {"x-request-id"}
    custom_ids = {json.loads(line)["custom_id"] for line in first.text.splitlines()}
    assert custom_ids == {"c4", "c5", "c6", "c7"}


def test_after_gives_each_line_once_whatever_the_order_the_shards_end_in(running: Running) -> None:
    after: dict[str, str] = {}
    seen: list[int] = []
    for shard in (2, 0, 1):
        running.finish(shard)
        page = read(running, **after)
        after = {"after": page.headers["x-after"]}
        assert len(lines(page)) == 4
        assert lines(read(running, **after)) == []
        seen += lines(page)
    assert sorted(seen) == list(range(1, 13))
    running.end()
    rest = read(running, **after)
    assert lines(rest) == []
    assert (rest.headers["x-incomplete"], rest.headers["x-batch-status"]) == ("false", "completed")
    assert sorted(lines(read(running))) == list(range(1, 13))


def test_a_page_may_end_anywhere(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    for shard in (2, 0):
        running.finish(shard)
    (whole,) = [read(running)]
    longest = max(map(len, whole.text.splitlines(keepends=True)))
    monkeypatch.setitem(PAGES, "page_bytes_max", longest)
    seen: list[int] = []
    after: dict[str, str] = {}
    more = True
    while more:
        page = read(running, **after)
        assert len(page.text) <= longest
        seen += lines(page)
        after = {"after": page.headers["x-after"]}
        more = page.headers["x-has-more"] == "true"
        if len(seen) == 3:
            running.finish(1)
    assert seen[:3] == lines(whole)[:3]
    assert sorted(seen) == list(range(1, 13))


def test_what_a_page_began_is_read_on_though_an_earlier_shard_is_done_meanwhile(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.finish(2)
    whole = read(running)
    longest = max(map(len, whole.text.splitlines(keepends=True)))
    monkeypatch.setitem(PAGES, "page_bytes_max", longest)
    begun = read(running)
    running.finish(0)
    seen, more, after = lines(begun), True, {"after": begun.headers["x-after"]}
    while more:
        page = read(running, **after)
        seen += lines(page)
        after, more = {"after": page.headers["x-after"]}, page.headers["x-has-more"] == "true"
    assert seen[:4] == lines(whole)
    assert sorted(seen) == [1, 2, 3, 4, 9, 10, 11, 12]


def test_a_result_that_no_page_can_hold_is_named_and_does_not_stand_in_the_way(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.finish(0)
    monkeypatch.setitem(PAGES, "page_bytes_max", 50)
    codes: list[str] = []
    after: dict[str, str] = {}
    for _ in range(4):
        page = read(running, **after)
        (result,) = map(json.loads, page.text.splitlines())
        codes.append(result["error"]["code"])
        after = {"after": page.headers["x-after"]}
    assert codes == ["result_too_large"] * 4
    assert lines(read(running, **after)) == []


def test_one_kind_of_lines_can_be_had_alone(running: Running) -> None:
    running.finish(1)  # c5's request times out
    output, error = read(running, kind="output"), read(running, kind="error")
    assert (lines(output), lines(error)) == ([5, 7, 8], [6])
    refused = read(running, kind="error", after=output.headers["x-after"])
    assert (refused.status, refused.json["error"]["code"]) == (400, "invalid_after")
    assert read(running, kind="both").json["error"]["param"] == "kind"


@pytest.mark.parametrize("after", ["x", "e30", "A" * 9_000, "é"])
def test_an_after_of_ones_own_making_is_refused(running: Running, after: str) -> None:
    running.finish(0)
    refused = read(running, after=after)
    assert (refused.status, refused.json["error"]["param"]) == (400, "after")


def test_an_after_that_names_the_middle_of_a_line_is_refused(running: Running) -> None:
    running.finish(0)
    made_up = encode_cursor(ReadResults(place=(0, 0, "output", 7)))
    refused = read(running, after=made_up)
    assert (refused.status, refused.json["error"]["code"]) == (400, "invalid_after")


def test_another_account_has_no_part_in_it(running: Running) -> None:
    running.finish(0)
    after = read(running).headers["x-after"]
    for query in ({}, {"after": after}):
        foreign = read(running, "sk-other", **query)
        made_up = client(running, "sk-other").get("/v1/batches/batch_none/results", **query)
        assert foreign.status == made_up.status == 404
        assert foreign.json["error"]["code"] == made_up.json["error"]["code"]


def test_reading_changes_nothing_and_reads_no_checkpoint(running: Running) -> None:
    running.finish(0)
    before = vars(running)["changes"]
    reads: list[str] = []
    original = running.reader.read

    def seen(key: str, *more: Any, **named: Any) -> bytes:
        reads.append(key)
        return original(key, *more, **named)

    running.reader.read = seen  # type: ignore[method-assign]
    rows = (running.run, running.shard(0), running.batch)
    read(running)
    assert (running.run, running.shard(0), running.batch) == rows
    assert before is running.changes
    assert reads
    assert not any("checkpoints" in key for key in reads)


def test_what_its_owner_has_deleted_is_gone_from_here_too(running: Running) -> None:
    for shard in range(3):
        running.finish(shard)
    ended = running.end()
    assert ended.output_file_id is not None
    file = running.files.get(ACCOUNT, ended.output_file_id)
    running.changes.commit(Save(file.deleted()))
    assert read(running).status == 404
    assert lines(read(running, kind="error")) != []


def test_when_only_the_files_are_left_the_answer_names_them(running: Running) -> None:
    for shard in range(3):
        running.finish(shard)
    assert running.end().status is BatchStatus.COMPLETED
    for info in list(running.reader.list(work_prefix(BATCH))):
        running.writer.delete(info.key)
    moved = read(running)
    assert (moved.status, moved.json["error"]["code"]) == (409, "results_moved")
    assert "output_file_id" in moved.json["error"]["message"]


def test_a_cursor_of_a_five_million_line_batch_fits_a_url() -> None:
    every_other = ReadShards(below=0, beyond=frozenset(range(1, 5_000, 2)))
    text = encode_cursor(ReadResults(runs={0: every_other}, place=(0, 4_998, "error", 10**9)))
    assert len(text) < 1_200
    assert decode_cursor(text).of_run(0) == every_other
