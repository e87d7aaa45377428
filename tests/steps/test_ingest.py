"""From an uploaded file to its runs, over the ports in memory: validate_range, then plan_shards."""

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.core.account import Account, Limits
from offpeak.core.batch import Batch, BatchStatus, OnInvalid
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.errors import Unavailable
from offpeak.core.layout import batch_errors_key, invalid_lines_key
from offpeak.core.ports import Add, ObjectInfo, Reader, Save
from offpeak.core.run import CloseReason, Run, RunStatus
from offpeak.core.usage import Counts
from offpeak.memory import rows
from offpeak.memory.memory import Memory
from offpeak.planner.sharing import estimate_cached_share
from offpeak.steps import stored_report
from offpeak.steps.fail_batch import fail_batch
from offpeak.steps.merge_reports import MergedReports
from offpeak.steps.plan_shards import plan_shards
from offpeak.steps.validate_range import validate_range
from offpeak.wire.checkpoints import decode_records
from offpeak.wire.jsonl import LINE_BYTES_MAX
from offpeak.wire.manifest import iterate_shards
from offpeak.wire.range_report import Trailer
from offpeak.wire.request_lines import read_line

ENDPOINT = "/v1/completions"


def _model(name: str, **changes: Any) -> Model:
    return Model(
        id=name, pool=name, source="s", endpoints=(ENDPOINT,), context_tokens=100, **changes
    )


CATALOGUE = Catalogue((_model("one", shard_lines_max=5, aliases=("uno",)), _model("two")))


def _line(custom_id: str, model: str = "one") -> bytes:
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


def _ingest(
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


# ── what is planned ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_becomes_a_run_with_full_shards() -> None:
    ingest = _ingest(b"".join(_line(f"id-{i}") + b"\n" for i in range(12)))
    assert ingest.run() == "run"
    (run,) = ingest.runs
    assert (run.status, run.model, run.pool) == (RunStatus.HELD, "one", "one")
    assert (run.shards, run.lines, run.deadline) == (3, 12, 86_401)
    assert ingest.batch.status is BatchStatus.IN_PROGRESS
    assert ingest.batch.model == "one"
    assert ingest.batch.counts == Counts(total=12)
    assert ingest.planned_lines() == {i + 1: ("one", f"id-{i}") for i in range(12)}


def test_a_file_that_mixes_models_becomes_a_run_each() -> None:
    models = ["two", "one", "uno", "one", "two", "two"]
    ingest = _ingest(b"\n".join(_line(f"id-{i}", model) for i, model in enumerate(models)))
    assert ingest.run(range_bytes=50) == "run"
    assert [(run.model, run.lines) for run in ingest.runs] == [("two", 3), ("one", 3)]
    assert ingest.batch.model is None
    assert {line: model for line, (model, _) in ingest.planned_lines().items()} == {
        1: "two", 2: "one", 3: "one", 4: "one", 5: "two", 6: "two",
    }  # fmt: skip


@pytest.mark.parametrize("content", [
    _line("a") + b"\n" + _line("b"),
    _line("a") + b"\n" + _line("b") + b"\n",
    _line("a") + b"\n" + _line("b") + b"\n\n",
    _line("a") + b"\r\n" + _line("b") + b"\r\n\r\n",
    b"\xef\xbb\xbf" + _line("a") + b"\n" + _line("b") + b"\n  ",
])  # fmt: skip
@pytest.mark.parametrize("range_bytes", [1, 7, 1_000])
def test_endings_and_a_byte_order_mark_make_no_difference(content: bytes, range_bytes: int) -> None:
    ingest = _ingest(content)
    assert ingest.run(range_bytes) == "run"
    assert ingest.planned_lines() == {1: ("one", "a"), 2: ("one", "b")}


@pytest.mark.parametrize("range_bytes", [1, 399, 400, 401, 402, 100_000])
def test_a_line_may_have_exactly_the_bytes_allowed(range_bytes: int) -> None:
    lines = [_line("a"), _line("b").ljust(400), _line("c").ljust(401), _line("d").ljust(400)]
    ingest = _ingest(b"\n".join(lines), "skip")
    assert ingest.run(range_bytes) == "run"
    assert sorted(ingest.planned_lines()) == [1, 2, 4]
    assert ingest.refused() == {3: (None, "line_too_long")}


@pytest.mark.parametrize("range_bytes", [1, 2, 7, 1_000])
def test_lines_of_one_character_are_lines(range_bytes: int) -> None:
    ingest = _ingest(b"\n".join([b"1", b"{", _line("a"), b"\xc3", b"x", b"\r"]) + b"\ny", "skip")
    assert ingest.run(range_bytes) == "run"
    assert ingest.planned_lines() == {3: ("one", "a")}
    refused = dict.fromkeys((1, 2, 4, 5, 6, 7), (None, "invalid_json_line"))
    assert ingest.refused() == refused


@pytest.mark.parametrize("range_bytes", [250_000, 1_000_001, 2**20, 10**7])
def test_lines_of_a_megabyte_are_lines(range_bytes: int) -> None:
    """Chunks are of 1 MiB: some lines lie in one, some in two, and one that is too long in several."""
    padded = [_line(name).ljust(LINE_BYTES_MAX) for name in ("a", "b")]
    lines = [
        _line("c"),
        *padded,
        _line("d").ljust(LINE_BYTES_MAX + 1),
        b"x" * 3 * 2**20,
        _line("e"),
    ]
    ingest = replace(_ingest(b"\n".join(lines), "skip"), line_bytes_max=LINE_BYTES_MAX)
    assert ingest.run(range_bytes) == "run"
    assert {line: custom_id for line, (_, custom_id) in ingest.planned_lines().items()} == {
        1: "c", 2: "a", 3: "b", 6: "e",
    }  # fmt: skip
    assert ingest.refused() == {4: (None, "line_too_long"), 5: (None, "line_too_long")}


GOOD = st.builds(
    _line, st.integers(0, 30).map(lambda n: f"id-{n}"), st.sampled_from(["one", "uno", "two"])
)
ANY_LINE = GOOD | st.sampled_from(
    [b"", b"\r", b"{", b"\xff", b"x" * 401, b"x" * 2_000, _line("bad", "three"), _line("") + b"\r"]
)


@settings(deadline=None)
@given(
    st.lists(ANY_LINE, max_size=40),
    st.sampled_from([b"", b"\n", b"\n\n", b"\n\n\n"]),
    st.integers(1, 3_000),
)
def test_each_line_runs_or_is_refused_once_wherever_the_ranges_are_cut(
    lines: list[bytes], ending: bytes, range_bytes: int
) -> None:
    content = b"\n".join(lines) + ending
    ingest = _ingest(content, "skip")
    following = ingest.run(max(range_bytes, len(content) // 200 + 1))
    expected = content.split(b"\n")
    if not expected[-1]:
        expected.pop()
    if expected and not expected[-1].strip() and content:
        expected.pop()
    if not expected:
        assert following == "announce"
        assert [error["code"] for error in ingest.errors()] == ["empty_file"]
        return
    planned = ingest.planned_lines()
    invalid = ingest.batch.invalid_lines
    refused = ingest.refused() if invalid else {}
    assert sorted([*planned, *refused]) == list(range(1, len(expected) + 1))
    assert len(refused) == invalid
    assert ingest.batch.counts == Counts(total=len(expected), failed=invalid)
    assert following == ("run" if planned else "close")
    ids = [custom_id for _, custom_id in planned.values()]
    assert len(ids) == len(set(ids))
    seen: set[str] = set()
    for number, line in enumerate(expected, 1):
        good = line.startswith(b"{") and b"id-" in line
        custom_id = json.loads(line)["custom_id"] if good else ""
        assert (number in planned) == (good and custom_id not in seen)
        if good and custom_id in seen:
            assert refused[number] == (custom_id, "duplicate_custom_id")
        seen.add(custom_id)


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(3, 300), st.sampled_from(["fail", "skip"]))
def test_no_bytes_break_ingest(content: bytes, range_bytes: int, on_invalid: OnInvalid) -> None:
    assert _ingest(content, on_invalid).run(range_bytes) in {"announce", "close"}


class _Endless:
    """A reader of one long object that exists only while it is streamed."""

    def __init__(self, ingest: Ingest, line: bytes, bytes_: int) -> None:
        self.head, self.read, self.list = (
            ingest.memory.reader.head, ingest.memory.reader.read, ingest.memory.reader.list,
        )  # fmt: skip
        self._chunk = line * (2**20 // len(line))
        self._bytes = bytes_

    def stream(
        self, key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None
    ) -> Iterator[bytes]:
        for _ in range(self._bytes // len(self._chunk)):
            yield bytes(bytearray(self._chunk))


@pytest.mark.parametrize("line", [_line("a").ljust(2_000) + b"\n", b"{" * 1_000])
def test_validation_holds_some_chunks_and_not_the_file(line: bytes) -> None:
    ingest = _ingest(b"")
    size = 60_000_000
    ingest.memory.changes.commit(Save(replace(ingest.batch, input_bytes=size)))
    tracemalloc.start()
    validate_range(
        "acct_1", "batch_1", 0, 0, size, accounts=ingest.memory.accounts,
        batches=ingest.memory.batches, reader=_Endless(ingest, line, size),
        writer=ingest.memory.writer, multipart=ingest.memory.multipart, catalogue=CATALOGUE,
    )  # fmt: skip
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("tail_bytes", [4, 8, 300])
def test_a_report_is_read_in_pieces_as_it_is_at_once(
    tail_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_report, "TAIL_BYTES", tail_bytes)
    lines = [_line(f"id-{i % 9}", "one" if i % 3 else "two") for i in range(12)]
    ingest = _ingest(b"\n".join([*lines, b"{"]), "skip")
    assert ingest.run(600) == "run"
    assert sorted(ingest.planned_lines()) == list(range(1, 10))
    assert sorted(ingest.refused()) == [10, 11, 12, 13]


class _Counted:
    """A reader that remembers which objects were asked for."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def asked(key: str, *args: Any, **options: Any) -> Any:
            self.asked.append(key)
            return getattr(self._reader, name)(key, *args, **options)

        return asked


def test_a_plan_asks_four_times_for_a_report_and_never_for_the_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each time costs some 20 ms of S3: 12 s for 10 GB."""
    monkeypatch.setattr(stored_report, "TAIL_BYTES", 400)
    ingest = _ingest(b"\n".join(_line(f"id-{i}") for i in range(400)))
    ranges = ingest.validate(10_000)
    counted = _Counted(ingest.memory.reader)
    ingest.memory.reader = counted  # type: ignore[assignment]
    assert ingest.plan(ranges) == "run"
    assert max(Counter(counted.asked).values()) <= 4
    assert ingest.batch.input_key not in counted.asked


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


def _failure(ingest: Ingest, range_bytes: int = 60) -> list[dict[str, Any]]:
    assert ingest.run(range_bytes) == "announce"
    assert ingest.batch.status is BatchStatus.FAILED
    assert ingest.batch.counts == Counts()
    assert ingest.runs == []
    return ingest.errors()


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b"  \r\n"])
@pytest.mark.parametrize("on_invalid", ["fail", "skip"])
def test_an_empty_file_fails_the_batch(content: bytes, on_invalid: OnInvalid) -> None:
    (error,) = _failure(_ingest(content, on_invalid))
    assert (error["code"], error["line"], error["param"]) == ("empty_file", None, None)


def test_every_bad_line_is_listed_by_its_number_in_the_file() -> None:
    lines = [_line("a"), b"{", _line("b"), b"", _line("c", "three"), b"x" * 401, _line("d")]
    errors = _failure(_ingest(b"\n".join(lines)))
    assert [(error["line"], error["code"], error["param"]) for error in errors] == [
        (2, "invalid_json_line", None),
        (4, "invalid_json_line", None),
        (5, "model_not_found", "body.model"),
        (6, "line_too_long", None),
    ]


def test_a_duplicate_is_reported_on_the_later_line_and_names_the_earlier() -> None:
    lines = [_line("a"), _line("b"), b"{", _line("a"), _line("a", "two")]
    errors = _failure(_ingest(b"\n".join(lines)))
    assert [(error["line"], error["code"]) for error in errors] == [
        (3, "invalid_json_line"), (4, "duplicate_custom_id"), (5, "duplicate_custom_id"),
    ]  # fmt: skip
    assert errors[1]["param"] == "custom_id"
    assert "line 1" in errors[1]["message"]
    assert "line 1" in errors[2]["message"]


@pytest.mark.parametrize("range_bytes", [500, 100_000])
def test_a_thousand_errors_are_listed_and_the_rest_counted(range_bytes: int) -> None:
    lines = [b"{", _line("a")] * 1_500
    errors = _failure(_ingest(b"\n".join(lines)), range_bytes)
    assert [error["line"] for error in errors] == [1, *range(3, 1_002), None]
    assert errors[-1]["message"].startswith("1,999 more lines are invalid")


@pytest.mark.parametrize("on_invalid", ["fail", "skip"])
@pytest.mark.parametrize("range_bytes", [150, 100_000])
def test_a_file_with_too_many_lines_fails_the_batch(
    on_invalid: OnInvalid, range_bytes: int
) -> None:
    content = b"\n".join([*(_line(f"id-{i}") for i in range(20)), b"{"])
    (error,) = _failure(_ingest(content, on_invalid, Limits(request_lines_max=20)), range_bytes)
    assert (error["code"], error["line"]) == ("too_many_tasks", None)
    assert "20 request lines" in error["message"]
    good = content.rpartition(b"\n")[0]
    assert _ingest(good, on_invalid, Limits(request_lines_max=20)).run(range_bytes) == "run"


def test_a_batch_that_skips_runs_the_good_lines_and_finishes_the_bad() -> None:
    lines = [_line("a"), b"{", _line("a"), _line("b"), _line("c", "three"), b"", _line("d"), _line("b")]  # fmt: skip
    ingest = _ingest(b"\n".join(lines), "skip")
    assert ingest.run(90) == "run"
    assert ingest.planned_lines() == {1: ("one", "a"), 4: ("one", "b"), 7: ("one", "d")}
    assert ingest.refused() == {
        2: (None, "invalid_json_line"),
        3: ("a", "duplicate_custom_id"),
        5: ("c", "model_not_found"),
        6: (None, "invalid_json_line"),
        8: ("b", "duplicate_custom_id"),
    }
    assert ingest.batch.counts == Counts(total=8, failed=5)


def test_duplicates_are_cut_out_and_named_without_reading_the_input_again() -> None:
    ingest = _ingest(b"\n".join(_line(f"id-{i % 7}") for i in range(40)), "skip")
    ranges = ingest.validate(300)
    ingest.memory.writer.delete(ingest.batch.input_key)
    assert ingest.plan(ranges) == "run"
    assert sorted(ingest.planned_lines()) == [1, 2, 3, 4, 5, 6, 7]
    assert ingest.refused() == {
        number: (f"id-{(number - 1) % 7}", "duplicate_custom_id") for number in range(8, 41)
    }


def test_a_duplicate_in_a_report_without_an_index_says_what_to_do() -> None:
    """An earlier version wrote none."""
    ingest = _ingest(_line("a") + b"\n" + _line("a"))
    ranges = ingest.validate(1_000)
    ingest.memory.changes.commit(Save(replace(ingest.batch, on_invalid="skip")))
    with pytest.raises(Unavailable, match="Create the batch again"):
        ingest.plan(ranges)


def test_a_range_says_what_it_found() -> None:
    lines = [_line("a"), b"{", _line("b"), _line("c", "two")]
    ingest = _ingest(b"\n".join(lines))
    found = ingest.validate_one(0, len(ingest.content))
    assert (found.good_lines, found.bad_lines, found.models) == (3, 1, ["one", "two"])
    sizes = [len(lines[0]) + 1 + len(lines[2]) + 1, len(lines[3])]
    assert found.input_tokens == [-(-size // 4) for size in sizes]
    assert found.completion_tokens == [32, 16]
    sharing = found.sharing
    assert sharing is not None
    assert [each.lines for each in sharing] == [2, 1]


def test_a_batch_that_skips_every_line_is_closed_at_once() -> None:
    ingest = _ingest(b"{\n[\n", "skip")
    assert ingest.run() == "close"
    assert ingest.batch.status is BatchStatus.IN_PROGRESS
    assert ingest.batch.counts == Counts(total=2, failed=2)
    assert ingest.runs == []


# ── cancelled meanwhile, twice, and at once ──────────────────────────────────────────────────────────────────────────


def _cancel(ingest: Ingest) -> None:
    ingest.memory.changes.commit(Save(ingest.batch.cancelling(2)))


def test_a_batch_cancelled_while_it_is_validated_gets_runs_that_are_closing() -> None:
    ingest = _ingest(_line("a"))
    ranges = ingest.validate(1_000)
    _cancel(ingest)
    assert ingest.plan(ranges) == "close"
    (run,) = ingest.runs
    assert (run.status, run.close_reason) == (RunStatus.CLOSING, CloseReason.CANCELLED)
    assert ingest.batch.status is BatchStatus.CANCELLING
    assert ingest.batch.counts == Counts(total=1)
    assert ingest.plan(ranges) == "close"


def test_a_cancelled_batch_with_bad_lines_ends_cancelled_not_failed() -> None:
    ingest = _ingest(b"{")
    _cancel(ingest)
    assert ingest.run() == "close"
    assert ingest.batch.status is BatchStatus.CANCELLING
    assert (ingest.batch.errors_key, ingest.batch.counts) == (None, Counts())


@pytest.mark.parametrize(
    ("content", "following"), [(_line("a"), "run"), (b"{", "announce"), (b"", "announce")]
)
def test_planning_again_changes_nothing(content: bytes, following: str) -> None:
    ingest = _ingest(content)
    assert ingest.run() == following
    before = (ingest.batch, ingest.runs)
    ingest.memory.clock.advance(60)
    assert ingest.run() == following
    assert (ingest.batch, ingest.runs) == before


def test_planners_of_two_versions_at_once_write_over_no_manifest_of_each_other() -> None:
    """The second is done when the first, of the version that is being replaced, comes to write its manifest."""
    ingest = _ingest(b"\n".join(_line(f"c{n}") for n in range(12)))
    ranges, put = ingest.validate(1_000_000), ingest.memory.writer.put
    larger = Catalogue((_model("one", shard_lines_max=9), _model("two")))

    def overtaken(key: str, *rest: Any) -> ObjectInfo:
        if "manifest" in key:
            ingest.memory.writer.put = put  # type: ignore[method-assign]
            assert ingest.plan(ranges, larger) == "run"
        return put(key, *rest)

    ingest.memory.writer.put = overtaken  # type: ignore[assignment, method-assign]
    assert ingest.plan(ranges) == "run"
    assert ingest.planned_lines() == {n + 1: ("one", f"c{n}") for n in range(12)}
    assert [run.shards for run in ingest.runs] == [2], "whoever commits first has planned"


class _CancelledAtCommit(rows.MemoryChanges):
    """Somebody cancels the batch between the planner's last look and its commit."""

    ingest: Ingest

    def commit(self, *changes: Add | Save) -> None:
        if self.ingest.batch.status is BatchStatus.VALIDATING:
            super().commit(Save(self.ingest.batch.cancelling(2)))
        super().commit(*changes)


def test_a_cancellation_in_the_last_moment_is_seen() -> None:
    ingest = _ingest(_line("a"))
    ranges = ingest.validate(1_000)
    changes = _CancelledAtCommit(ingest.memory.changes._tables)
    changes.ingest = ingest
    ingest.memory.changes = changes
    assert ingest.plan(ranges) == "close"
    assert [run.status for run in ingest.runs] == [RunStatus.CLOSING]


def test_a_crash_while_manifests_are_written_leaves_no_rows_and_no_parts() -> None:
    ingest = _ingest(_line("a"))
    ranges = ingest.validate(1_000)
    unserved = replace(CATALOGUE, models=CATALOGUE.models[1:])
    with pytest.raises(Exception, match="left the catalogue"):
        plan_shards(
            "acct_1", "batch_1", ranges, clock=ingest.memory.clock,
            accounts=ingest.memory.accounts, batches=ingest.memory.batches,
            runs=ingest.memory.runs, changes=ingest.memory.changes, reader=ingest.memory.reader,
            writer=ingest.memory.writer, multipart=ingest.memory.multipart, catalogue=unserved,
            ledger=ingest.memory.ledger,
        )  # fmt: skip
    assert ingest.runs == []
    assert ingest.memory.multipart.open_ids == ()
    assert ingest.plan(ranges) == "run"


# ── a fault of ours ──────────────────────────────────────────────────────────────────────────────────────────────────


def _fail(ingest: Ingest) -> str:
    return fail_batch(
        "acct_1", "batch_1", clock=ingest.memory.clock, batches=ingest.memory.batches,
        runs=ingest.memory.runs, changes=ingest.memory.changes, reader=ingest.memory.reader,
        writer=ingest.memory.writer,
    )  # fmt: skip


def test_a_batch_that_cannot_be_validated_fails_with_a_server_error() -> None:
    ingest = _ingest(_line("a"))
    assert _fail(ingest) == "announce"
    before = ingest.batch
    assert before.status is BatchStatus.FAILED
    (error,) = ingest.errors()
    assert (error["code"], error["line"], error["param"]) == ("server_error", None, None)
    _fail(ingest)
    assert ingest.batch == before


def test_a_cancelling_batch_that_cannot_be_validated_is_cancelled() -> None:
    ingest = _ingest(_line("a"))
    _cancel(ingest)
    _fail(ingest)
    assert ingest.batch.status is BatchStatus.CANCELLED


def test_a_batch_that_was_planned_after_all_goes_on_as_planned() -> None:
    ingest = _ingest(_line("a"))
    ingest.run()
    assert _fail(ingest) == "run"
    assert ingest.batch.status is BatchStatus.IN_PROGRESS


def _neighbour(ingest: Ingest, **tokens: int) -> None:
    """Another batch of the account, that holds so many tokens."""
    batch = replace(ingest.batch, id="batch_0", enqueued_tokens=tokens, version=0)
    ingest.memory.changes.commit(Add(batch))


def test_a_planned_batch_holds_the_tokens_of_its_good_lines_by_model() -> None:
    one, two = _line("a"), _line("b", "two")
    ingest = _ingest(one + b"\n" + two + b"\n" + b"no json\n", on_invalid="skip")
    assert ingest.run() == "run"
    assert [run.input_bytes for run in ingest.runs] == [len(one) + 1, len(two) + 1]
    expected = {"one": -(-(len(one) + 1) // 4), "two": -(-(len(two) + 1) // 4)}
    assert ingest.batch.enqueued_tokens == expected


def test_a_batch_over_the_enqueued_tokens_fails_as_openai_says_it() -> None:
    ingest = _ingest(b"\n".join(map(_line, "abcd")), limits=Limits(enqueued_tokens_max=1_000))
    _neighbour(ingest, one=950, two=5)
    assert ingest.run() == "announce"
    assert ingest.batch.status is BatchStatus.FAILED
    (error,) = ingest.errors()
    assert error["code"] == "token_limit_exceeded"
    for words in ("950 are enqueued", "limit is 1,000", "Wait for a batch to end"):
        assert words in error["message"]


def test_another_models_tokens_leave_room() -> None:
    ingest = _ingest(b"\n".join(map(_line, "abcd")), limits=Limits(enqueued_tokens_max=1_000))
    _neighbour(ingest, two=1_000)
    assert ingest.run() == "run"


def test_a_planned_batch_that_is_being_cancelled_goes_on_to_its_close() -> None:
    ingest = _ingest(_line("a"))
    _cancel(ingest)
    ingest.run()
    assert _fail(ingest) == "close"
    assert ingest.batch.status is BatchStatus.CANCELLING


def test_reports_say_how_far_the_prompts_of_each_model_begin_alike() -> None:
    beginnings = ["a" * 600, "b" * 600]
    lines = [
        json.dumps(
            {
                "custom_id": f"r{number}",
                "method": "POST",
                "url": ENDPOINT,
                "body": {"model": model, "prompt": beginnings[number % 2] + str(number)},
            }
        ).encode()
        for model in ("one", "two")
        for number in range(20)
    ]
    ingest = _ingest(b"".join(line + b"\n" for line in lines))
    ingest.line_bytes_max = 10_000
    found = MergedReports(ingest.batch, ingest.validate(7_000), ingest.memory.reader)
    for model in ("one", "two"):
        sharing = found.sharing(model)
        assert sum(each.lines for each in sharing) == 20
        assert estimate_cached_share(sharing).whole_file == pytest.approx(0.77, abs=0.03)
    assert found.sharing("three") == []
