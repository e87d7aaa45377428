"""A batch that is planned holds tokens of its account, by model."""

from dataclasses import replace

from offpeak.core.account import Limits
from offpeak.core.batch import BatchStatus
from offpeak.core.ports import Add
from tests.steps.ingest import Ingest, ingest_of, request_line


def _neighbour(ingest: Ingest, **tokens: int) -> None:
    """Another batch of the account, that holds so many tokens."""
    batch = replace(ingest.batch, id="batch_0", enqueued_tokens=tokens, version=0)
    ingest.memory.changes.commit(Add(batch))


def test_a_planned_batch_holds_the_tokens_of_its_good_lines_by_model() -> None:
    one, two = request_line("a"), request_line("b", "two")
    ingest = ingest_of(one + b"\n" + two + b"\n" + b"no json\n", on_invalid="skip")
    assert ingest.run() == "run"
    assert [run.input_bytes for run in ingest.runs] == [len(one) + 1, len(two) + 1]
    expected = {"one": -(-(len(one) + 1) // 4), "two": -(-(len(two) + 1) // 4)}
    assert ingest.batch.enqueued_tokens == expected


def test_a_batch_over_the_enqueued_tokens_fails_as_openai_says_it() -> None:
    ingest = ingest_of(
        b"\n".join(map(request_line, "abcd")), limits=Limits(enqueued_tokens_max=1_000)
    )
    _neighbour(ingest, one=950, two=5)
    assert ingest.run() == "announce"
    assert ingest.batch.status is BatchStatus.FAILED
    (error,) = ingest.errors()
    assert error["code"] == "token_limit_exceeded"
    for words in ("950 are enqueued", "limit is 1,000", "Wait for a batch to end"):
        assert words in error["message"]


def test_another_models_tokens_leave_room() -> None:
    ingest = ingest_of(
        b"\n".join(map(request_line, "abcd")), limits=Limits(enqueued_tokens_max=1_000)
    )
    _neighbour(ingest, two=1_000)
    assert ingest.run() == "run"
