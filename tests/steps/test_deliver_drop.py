"""Beside an object lie the results of the bytes that lie there, and the last word is said after them."""

from __future__ import annotations

import gzip

from offpeak.core.ports import ObjectInfo
from offpeak.steps.ingest_drop import Ingested
from offpeak.steps.show_drops import show_drops
from tests.steps.drop_folder import KEY, LINES, DropFolder


def test_results_and_then_the_last_word_are_put_beside_the_object() -> None:
    folder = DropFolder()
    folder.drop()
    folder.complete(folder.batch, b"out\n", b"err\n")
    assert folder.deliver(folder.batch) is True
    assert folder.reader.read("drop/acct_1/a.output.jsonl") == b"out\n"
    assert folder.reader.read("drop/acct_1/a.errors.jsonl") == b"err\n"
    status = folder.status()
    assert (status["status"], status["final"], status["progress"]) == ("completed", True, 1.0)
    assert (status["output"], status["errors"]) == (
        "drop/acct_1/a.output.jsonl", "drop/acct_1/a.errors.jsonl",
    )  # fmt: skip
    assert folder.call(show_drops) == 0


def test_a_newer_batch_of_the_name_takes_away_what_it_does_not_have() -> None:
    folder = DropFolder()
    folder.drop()
    older = folder.batch
    folder.complete(older, b"out\n", b"err\n")
    folder.deliver(older)
    folder.clock.advance(1)
    folder.drop(LINES + b"\n")
    newer = folder.found[0]
    folder.complete(newer, b"newer\n")
    assert folder.deliver(newer) is True
    assert folder.reader.read("drop/acct_1/a.output.jsonl") == b"newer\n"
    assert not folder.is_there("drop/acct_1/a.errors.jsonl")
    assert folder.deliver(older) is False
    assert folder.reader.read("drop/acct_1/a.output.jsonl") == b"newer\n"
    # The older bytes come back: they have their results already.
    assert folder.drop() is Ingested.KNOWN
    assert folder.reader.read("drop/acct_1/a.output.jsonl") == b"out\n"
    assert folder.status()["batch"]["id"] == older.id


def test_of_two_deliveries_that_overlap_the_results_of_the_present_bytes_stay() -> None:
    """The older batch's copy lands when the newer one has delivered already."""
    folder = DropFolder()
    folder.drop()
    older = folder.batch
    folder.complete(older, b"older\n")
    put = folder.writer.put

    def late(key: str, body: bytes, content_type: str = "application/octet-stream") -> ObjectInfo:
        folder.writer.put = put  # type: ignore[method-assign]
        folder.clock.advance(1)
        folder.drop(LINES + b"\n")
        folder.complete(folder.found[0], b"newer\n")
        assert folder.deliver(folder.found[0]) is True
        return put(key, body, content_type)

    folder.writer.put = late  # type: ignore[method-assign]
    assert folder.deliver(older) is False
    assert folder.reader.read("drop/acct_1/a.output.jsonl") == b"newer\n"
    assert folder.status()["batch"]["id"] == folder.found[0].id


def test_a_delivery_that_was_copied_over_before_its_last_word_copies_again() -> None:
    folder = DropFolder()
    folder.drop()
    folder.complete(folder.batch, b"out\n")
    put_over = folder.writer.put_over

    def late(key: str, body: bytes, etag: str | None, content_type: str = "") -> ObjectInfo:
        folder.writer.put_over = put_over  # type: ignore[method-assign]
        folder.writer.put("drop/acct_1/a.output.jsonl", b"older\n")
        return put_over(key, body, etag, content_type)

    folder.writer.put_over = late  # type: ignore[method-assign]
    assert folder.deliver(folder.batch) is True
    assert folder.reader.read("drop/acct_1/a.output.jsonl") == b"out\n"


def test_a_producer_may_take_the_object_away_while_it_runs() -> None:
    folder = DropFolder()
    folder.drop()
    folder.writer.delete(KEY)
    folder.complete(folder.batch)
    assert folder.deliver(folder.batch) is True


def test_of_a_packed_and_a_plain_object_of_one_name_the_newer_is_told_of() -> None:
    folder = DropFolder()
    folder.drop()
    older = folder.batch
    folder.clock.advance(1)
    folder.drop(gzip.compress(LINES + b"\n"), KEY + ".gz")
    newer = folder.found[0]
    folder.complete(newer, b"newer\n")
    folder.deliver(newer)
    folder.complete(older, b"older\n")
    assert folder.deliver(older) is False
    assert folder.status()["batch"]["id"] == newer.id
    assert folder.reader.read("drop/acct_1/a.output.jsonl") == b"newer\n"
