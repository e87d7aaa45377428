"""From an uploaded file to its runs, over the ports in memory: a world with one batch in it."""

import json
from dataclasses import dataclass
from typing import Any

from offpeak.core.account import Account, Limits
from offpeak.core.batch import Batch, OnInvalid
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.layout import batch_errors_key, invalid_lines_key
from offpeak.core.ports import Add, Save
from offpeak.core.run import Run
from offpeak.memory.memory import Memory
from offpeak.steps.plan_shards import plan_shards
from offpeak.steps.validate_range import validate_range
from offpeak.wire.checkpoints import decode_records
from offpeak.wire.manifest import iterate_shards
from offpeak.wire.range_report import Trailer
from offpeak.wire.request_lines import read_line

ENDPOINT = "/v1/completions"


def model_named(name: str, **changes: Any) -> Model:
    return Model(
        id=name, pool=name, source="s", endpoints=(ENDPOINT,), context_tokens=100, **changes
    )


CATALOGUE = Catalogue((model_named("one", shard_lines_max=5, aliases=("uno",)), model_named("two")))


def request_line(custom_id: str, model: str = "one") -> bytes:
    return json.dumps(
        {
            "custom_id": custom_id,
            "method": "POST",
            "url": ENDPOINT,
            "body": {"model": model, "prompt": "é" * (len(custom_id) % 7)},
        },
        ensure_ascii=False,
    ).encode()


@dataclass
class Ingest:
    """A world with one batch in it, `validating`."""

    memory: Memory
    content: bytes
    line_bytes_max: int = 400

    def validate(self, range_bytes: int) -> int:
        starts = range(0, len(self.content), range_bytes)
        for index, start in enumerate(starts):
            self.validate_one(start, min(start + range_bytes, len(self.content)), index)
        return len(starts)

    def validate_one(self, start: int, stop: int, index: int = 0) -> Trailer:
        return validate_range(
            "acct_1", "batch_1", index, start, stop,
            accounts=self.memory.accounts, batches=self.memory.batches,
            reader=self.memory.reader, writer=self.memory.writer,
            multipart=self.memory.multipart, catalogue=CATALOGUE,
            line_bytes_max=self.line_bytes_max,
        )  # fmt: skip

    def plan(self, ranges: int, catalogue: Catalogue | None = None) -> str:
        memory = self.memory
        return plan_shards(
            "acct_1", "batch_1", ranges, clock=memory.clock, accounts=memory.accounts,
            batches=memory.batches, runs=memory.runs, changes=memory.changes,
            reader=memory.reader, writer=memory.writer, multipart=memory.multipart,
            catalogue=catalogue or CATALOGUE, ledger=memory.ledger,
        ).next  # fmt: skip

    def run(self, range_bytes: int = 1_000_000) -> str:
        return self.plan(self.validate(range_bytes))

    @property
    def batch(self) -> Batch:
        return self.memory.batches.get("acct_1", "batch_1")

    @property
    def runs(self) -> list[Run]:
        return sorted(self.memory.runs.of_batch("batch_1"), key=lambda run: run.number)

    def planned_lines(self) -> dict[int, tuple[str, str]]:
        """By line number: the model of its run, and the custom_id that its bytes hold."""
        found: dict[int, tuple[str, str]] = {}
        for run in self.runs:
            manifest = self.memory.reader.read(run.manifest_key)
            assert len(manifest) == run.manifest_bytes
            shards = [shard for shard, _, _ in iterate_shards([manifest])]
            assert [shard.number for shard in shards] == list(range(run.shards))
            assert sum(shard.lines for shard in shards) == run.lines
            for segment in (segment for shard in shards for segment in shard.segments):
                lines = self.content[segment.start : segment.stop].removesuffix(b"\n").split(b"\n")
                assert len(lines) == segment.lines
                for number, raw in enumerate(lines, segment.first_line):
                    assert number not in found
                    found[number] = run.model, read_line(raw, number).custom_id
        return found

    def errors(self) -> list[dict[str, Any]]:
        key = self.batch.errors_key
        assert key == batch_errors_key("batch_1")
        listed = json.loads(self.memory.reader.read(key))
        assert listed["object"] == "list"
        data: list[dict[str, Any]] = listed["data"]
        return data

    def refused(self) -> dict[int, tuple[str | None, str]]:
        """By line number: custom_id and code of the lines that a batch skipped."""
        stored = self.memory.reader.read(invalid_lines_key("batch_1"))
        records = list(decode_records([stored]))
        assert [record.number for record in records] == sorted(r.number for r in records)
        assert {record.kind for record in records} <= {"error"}
        results = [json.loads(record.result) for record in records]
        assert all(result["response"] is None for result in results)
        return {
            record.number: (result["custom_id"], result["error"]["code"])
            for record, result in zip(records, results, strict=True)
        }


def ingest_of(
    content: bytes, on_invalid: OnInvalid = "fail", limits: Limits = Limits()  # noqa: B008
) -> Ingest:  # fmt: skip
    memory = Memory()
    memory.writer.put("files/acct_1/file-1", content)
    batch = Batch(
        id="batch_1", account_id="acct_1", input_file_id="file-1", input_key="files/acct_1/file-1",
        input_bytes=len(content), endpoint=ENDPOINT, completion_window="24h", created_at=1,
        expires_at=86_401, on_invalid=on_invalid,
    )  # fmt: skip
    account = Account(id="acct_1", name="a", created_at=1, limits=limits)
    memory.changes.commit(Add(account), Add(batch))
    return Ingest(memory, content)


def cancel(ingest: Ingest) -> None:
    ingest.memory.changes.commit(Save(ingest.batch.cancelling(2)))
