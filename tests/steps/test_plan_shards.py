"""What validation found becomes runs of whole shards, or the sentences that say what to change."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from offpeak.core.account import Limits
from offpeak.core.batch import BatchStatus, OnInvalid
from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import Unavailable
from offpeak.core.ports import Add, ObjectInfo, Reader, Save
from offpeak.core.run import CloseReason, RunStatus
from offpeak.core.usage import Counts
from offpeak.memory import rows
from offpeak.steps import stored_report
from offpeak.steps.plan_shards import plan_shards
from tests.steps.ingest import CATALOGUE, Ingest, cancel, ingest_of, model_named, request_line


def test_a_file_becomes_a_run_with_full_shards() -> None:
    ingest = ingest_of(b"".join(request_line(f"id-{i}") + b"\n" for i in range(12)))
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
    ingest = ingest_of(b"\n".join(request_line(f"id-{i}", model) for i, model in enumerate(models)))
    assert ingest.run(range_bytes=50) == "run"
    assert [(run.model, run.lines) for run in ingest.runs] == [("two", 3), ("one", 3)]
    assert ingest.batch.model is None
    assert {line: model for line, (model, _) in ingest.planned_lines().items()} == {
        1: "two", 2: "one", 3: "one", 4: "one", 5: "two", 6: "two",
    }  # fmt: skip


@pytest.mark.parametrize("tail_bytes", [4, 8, 300])
def test_a_report_is_read_in_pieces_as_it_is_at_once(
    tail_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_report, "TAIL_BYTES", tail_bytes)
    lines = [request_line(f"id-{i % 9}", "one" if i % 3 else "two") for i in range(12)]
    ingest = ingest_of(b"\n".join([*lines, b"{"]), "skip")
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
    ingest = ingest_of(b"\n".join(request_line(f"id-{i}") for i in range(400)))
    ranges = ingest.validate(10_000)
    counted = _Counted(ingest.memory.reader)
    ingest.memory.reader = counted  # type: ignore[assignment]
    assert ingest.plan(ranges) == "run"
    assert max(Counter(counted.asked).values()) <= 4
    assert ingest.batch.input_key not in counted.asked


def _failure(ingest: Ingest, range_bytes: int = 60) -> list[dict[str, Any]]:
    assert ingest.run(range_bytes) == "announce"
    assert ingest.batch.status is BatchStatus.FAILED
    assert ingest.batch.counts == Counts()
    assert ingest.runs == []
    return ingest.errors()


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b"  \r\n"])
@pytest.mark.parametrize("on_invalid", ["fail", "skip"])
def test_an_empty_file_fails_the_batch(content: bytes, on_invalid: OnInvalid) -> None:
    (error,) = _failure(ingest_of(content, on_invalid))
    assert (error["code"], error["line"], error["param"]) == ("empty_file", None, None)


def test_every_bad_line_is_listed_by_its_number_in_the_file() -> None:
    lines = [
        request_line("a"),
        b"{",
        request_line("b"),
        b"",
        request_line("c", "three"),
        b"x" * 401,
        request_line("d"),
    ]
    errors = _failure(ingest_of(b"\n".join(lines)))
    assert [(error["line"], error["code"], error["param"]) for error in errors] == [
        (2, "invalid_json_line", None),
        (4, "invalid_json_line", None),
        (5, "model_not_found", "body.model"),
        (6, "line_too_long", None),
    ]


def test_a_duplicate_is_reported_on_the_later_line_and_names_the_earlier() -> None:
    lines = [
        request_line("a"),
        request_line("b"),
        b"{",
        request_line("a"),
        request_line("a", "two"),
    ]
    errors = _failure(ingest_of(b"\n".join(lines)))
    assert [(error["line"], error["code"]) for error in errors] == [
        (3, "invalid_json_line"), (4, "duplicate_custom_id"), (5, "duplicate_custom_id"),
    ]  # fmt: skip
    assert errors[1]["param"] == "custom_id"
    assert "line 1" in errors[1]["message"]
    assert "line 1" in errors[2]["message"]


@pytest.mark.parametrize("range_bytes", [500, 100_000])
def test_a_thousand_errors_are_listed_and_the_rest_counted(range_bytes: int) -> None:
    lines = [b"{", request_line("a")] * 1_500
    errors = _failure(ingest_of(b"\n".join(lines)), range_bytes)
    assert [error["line"] for error in errors] == [1, *range(3, 1_002), None]
    assert errors[-1]["message"].startswith("1,999 more lines are invalid")


@pytest.mark.parametrize("on_invalid", ["fail", "skip"])
@pytest.mark.parametrize("range_bytes", [150, 100_000])
def test_a_file_with_too_many_lines_fails_the_batch(
    on_invalid: OnInvalid, range_bytes: int
) -> None:
    content = b"\n".join([*(request_line(f"id-{i}") for i in range(20)), b"{"])
    (error,) = _failure(ingest_of(content, on_invalid, Limits(request_lines_max=20)), range_bytes)
    assert (error["code"], error["line"]) == ("too_many_tasks", None)
    assert "20 request lines" in error["message"]
    good = content.rpartition(b"\n")[0]
    assert ingest_of(good, on_invalid, Limits(request_lines_max=20)).run(range_bytes) == "run"


def test_a_batch_that_skips_runs_the_good_lines_and_finishes_the_bad() -> None:
    lines = [
        *(request_line("a"), b"{", request_line("a"), request_line("b")),
        *(request_line("c", "three"), b"", request_line("d"), request_line("b")),
    ]
    ingest = ingest_of(b"\n".join(lines), "skip")
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
    ingest = ingest_of(b"\n".join(request_line(f"id-{i % 7}") for i in range(40)), "skip")
    ranges = ingest.validate(300)
    ingest.memory.writer.delete(ingest.batch.input_key)
    assert ingest.plan(ranges) == "run"
    assert sorted(ingest.planned_lines()) == [1, 2, 3, 4, 5, 6, 7]
    assert ingest.refused() == {
        number: (f"id-{(number - 1) % 7}", "duplicate_custom_id") for number in range(8, 41)
    }


def test_a_duplicate_in_a_report_without_an_index_says_what_to_do() -> None:
    """An earlier version wrote none."""
    ingest = ingest_of(request_line("a") + b"\n" + request_line("a"))
    ranges = ingest.validate(1_000)
    ingest.memory.changes.commit(Save(replace(ingest.batch, on_invalid="skip")))
    with pytest.raises(Unavailable, match="Create the batch again"):
        ingest.plan(ranges)


def test_a_batch_that_skips_every_line_is_closed_at_once() -> None:
    ingest = ingest_of(b"{\n[\n", "skip")
    assert ingest.run() == "close"
    assert ingest.batch.status is BatchStatus.IN_PROGRESS
    assert ingest.batch.counts == Counts(total=2, failed=2)
    assert ingest.runs == []


def test_a_batch_cancelled_while_it_is_validated_gets_runs_that_are_closing() -> None:
    ingest = ingest_of(request_line("a"))
    ranges = ingest.validate(1_000)
    cancel(ingest)
    assert ingest.plan(ranges) == "close"
    (run,) = ingest.runs
    assert (run.status, run.close_reason) == (RunStatus.CLOSING, CloseReason.CANCELLED)
    assert ingest.batch.status is BatchStatus.CANCELLING
    assert ingest.batch.counts == Counts(total=1)
    assert ingest.plan(ranges) == "close"


def test_a_cancelled_batch_with_bad_lines_ends_cancelled_not_failed() -> None:
    ingest = ingest_of(b"{")
    cancel(ingest)
    assert ingest.run() == "close"
    assert ingest.batch.status is BatchStatus.CANCELLING
    assert (ingest.batch.errors_key, ingest.batch.counts) == (None, Counts())


@pytest.mark.parametrize(
    ("content", "following"), [(request_line("a"), "run"), (b"{", "announce"), (b"", "announce")]
)
def test_planning_again_changes_nothing(content: bytes, following: str) -> None:
    ingest = ingest_of(content)
    assert ingest.run() == following
    before = (ingest.batch, ingest.runs)
    ingest.memory.clock.advance(60)
    assert ingest.run() == following
    assert (ingest.batch, ingest.runs) == before


def test_planners_of_two_versions_at_once_write_over_no_manifest_of_each_other() -> None:
    """The second is done when the first, of the version that is being replaced, comes to write its manifest."""
    ingest = ingest_of(b"\n".join(request_line(f"c{n}") for n in range(12)))
    ranges, put = ingest.validate(1_000_000), ingest.memory.writer.put
    larger = Catalogue((model_named("one", shard_lines_max=9), model_named("two")))

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
    ingest = ingest_of(request_line("a"))
    ranges = ingest.validate(1_000)
    changes = _CancelledAtCommit(ingest.memory.changes._tables)
    changes.ingest = ingest
    ingest.memory.changes = changes
    assert ingest.plan(ranges) == "close"
    assert [run.status for run in ingest.runs] == [RunStatus.CLOSING]


def test_a_crash_while_manifests_are_written_leaves_no_rows_and_no_parts() -> None:
    ingest = ingest_of(request_line("a"))
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
