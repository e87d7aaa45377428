"""Stand-alone requests through the real steps, in the weather of `simulation.py`: the queue that carries them doubles
and shuffles records, and gives again what a dead collector had; the clock's functions come every minute or so."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from offpeak.core.account import Account, Billing
from offpeak.core.errors import OffpeakError
from offpeak.core.group import Group
from offpeak.core.ports import Add
from offpeak.core.request import Request, RequestStatus
from offpeak.steps.cancel_group import cancel_group
from offpeak.steps.cancel_request import cancel_request
from offpeak.steps.collect_requests import Received, collect_requests
from offpeak.steps.create_request import NewRequest, create_request
from offpeak.steps.finalize_group import finalize_group
from offpeak.steps.group_requests import NewGroup, create_group, extend_group
from offpeak.steps.read_result import Inline, read_group_results, read_request_result
from offpeak.steps.show_request import show_request
from offpeak.steps.sweep_requests import sweep_requests
from tests.steps.interleaving import Faults
from tests.steps.simulation import ENDPOINT, RECEIVES_MAX, Simulation

HIDDEN_SECONDS = 360
REDRIVEN_SECONDS = 3_600
"""How long a dead letter waits for an operator."""
SENT_AGAIN = frozenset({"unavailable", "claim_lost"})
"""Refusals that tell the caller to try again."""
ALICE, BOB = (
    Account(id=f"acct_{name}", name=name, created_at=0, billing=billing)
    for name, billing in (("alice", Billing.METER), ("bob", Billing.ENFORCE))
)


class RequestSimulation(Simulation):
    def __init__(self, seed: int, faults: Faults, **more: bool) -> None:
        super().__init__(seed, faults, **more)
        self.memory.changes.commit(Add(ALICE), Add(BOB))
        self._records_seen = 0
        self._checks_seen = 0
        self._swept_at = 0.0

    # ── the world's clockwork ────────────────────────────────────────────────────────────────────────────────────────

    def _deliver(self) -> None:
        super()._deliver()
        records = self.memory.request_queue.records
        while self._records_seen < len(records):
            taken = self.random.randint(1, min(5, len(records) - self._records_seen))
            batch = records[self._records_seen : self._records_seen + taken]
            self._records_seen += taken
            for _ in range(2 if self.happens(self.faults.doubled) else 1):
                texts = [text for text, _ in batch]
                self.random.shuffle(texts)
                delay = max(delay for _, delay in batch)
                self.spawn("collector's queue", partial(self._collect, texts, delay), mortal=False)
        for ids in self.memory.group_checks.asks[self._checks_seen :]:
            for _ in range(self._copies()):
                look = partial(self._receive, finalize_group, *ids)
                self.spawn(f"queue of {ids}", look, mortal=False)
        self._checks_seen = len(self.memory.group_checks.asks)

    def _collect(self, texts: list[str], delay: int) -> None:
        """What a dead collector had comes again when its visibility ends, counted as received before. After so many
        times it is a dead letter, which nothing but an operator's redrive brings back."""
        self.sleep(delay)
        while texts := self._receive_again(texts):
            self.sleep(REDRIVEN_SECONDS)

    def _receive_again(self, texts: list[str]) -> list[str]:
        """The records that end among the dead letters."""
        for receives in range(1, RECEIVES_MAX + 1):
            received = [
                Received(record_id=str(n), text=text, receives=receives)
                for n, text in enumerate(texts)
            ]
            child = self._attempt(collect_requests, received)
            if child.error is None:
                texts = [texts[int(n)] for n in child.result]
                if not texts:
                    break
            self.sleep(HIDDEN_SECONDS)
        return texts

    def _pass_time(self) -> None:
        super()._pass_time()
        if self.memory.clock.now() - self._swept_at >= 60:
            self._swept_at = self.memory.clock.now()
            self.spawn("sweep_requests", lambda: self.call(sweep_requests))

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def send(
        self, account: Account, name: str, *, model: str = "red", window: str = "24h",
        callback: str | None = None,
    ) -> str:  # fmt: skip
        """A request that is registered, by its id: past the weather, for the tests' own sake."""
        body = f'{{"model":"{model}","prompt":"{name}"}}'.encode()
        made: Request = create_request(
            account, NewRequest(body=body, endpoint=ENDPOINT, completion_window=window, callback=callback),
            idempotency_key=None, clock=self.memory.clock, catalogue=self.ports["catalogue"],
            writer=self.memory.writer, changes=self.memory.changes, requests=self.memory.requests,
            idempotency=self.memory.idempotency, request_queue=self.memory.request_queue,
        )  # fmt: skip
        return made.id

    def keep(self, step: Any, *args: Any, into: list[Any]) -> None:
        """Calls a step in the weather, as often as a caller would try; what it gave or refused goes to `into`."""

        def tried() -> None:
            for _ in range(20):
                child = self.spawn("call", lambda: self.call(step, *args))
                self.wait(lambda child=child: child.finished)  # type: ignore[misc]
                if child.error is None:
                    into.append(child.result)
                    return
                if isinstance(child.error, OffpeakError) and child.error.code not in SENT_AGAIN:
                    into.append(child.error)
                    return
                self.sleep(200)

        self.spawn("caller", tried, mortal=False)

    def group(self, account: Account, ids: list[str], into: list[Any]) -> None:
        step = partial(create_group, idempotency_key=f"key {ids}"[:255])
        self.keep(step, account, NewGroup(request_ids=tuple(ids)), into=into)

    def extend(self, account: Account, group_id: str, ids: list[str], into: list[Any]) -> None:
        self.keep(extend_group, account, group_id, ids, into=into)

    def cancel_request(self, account: Account, request_id: str, into: list[Any]) -> None:
        self.keep(cancel_request, account.id, request_id, into=into)

    def cancel_group(self, account: Account, group_id: str, into: list[Any]) -> None:
        self.keep(cancel_group, account.id, group_id, into=into)

    def show(self, account: Account, request_id: str) -> Request:
        memory = self.memory
        return show_request(
            account.id, request_id, clock=memory.clock, catalogue=self.ports["catalogue"],
            requests=memory.requests, groups=memory.groups, gatherings=memory.gatherings,
        )  # fmt: skip

    def found_group(self, account: Account, group_id: str) -> Group:
        return self.memory.groups.get(account.id, group_id)


def all_ended(world: RequestSimulation, ids: list[str]) -> bool:
    return all(request.has_ended for request in world.memory.requests.get_many(ids))


def quiet(world: RequestSimulation) -> bool:
    """No batch is open, and every group has ended."""
    return not world._open() and not list(world.memory.groups.open())


def result_of(world: RequestSimulation, account: Account, request_id: str) -> dict[str, Any]:
    memory = world.memory
    found = read_request_result(
        world.show(account, request_id), reader=memory.reader, writer=memory.writer,
        presigner=memory.presigner,
    )  # fmt: skip
    assert isinstance(found, Inline)
    result: dict[str, Any] = json.loads(found.body)
    return result


def lines_of(world: RequestSimulation, account: Account, group_id: str) -> list[dict[str, Any]]:
    memory = world.memory
    found = read_group_results(
        account.id, group_id, reader=memory.reader, groups=memory.groups,
        presigner=memory.presigner,
    )  # fmt: skip
    assert isinstance(found, Inline)
    return [json.loads(line) for line in found.body.splitlines()]


def check_result(world: RequestSimulation, account: Account, request_id: str) -> None:
    """Its result is its own, and says what its row says."""
    request = world.show(account, request_id)
    result = result_of(world, account, request_id)
    assert (result["id"], result["status"]) == (request_id, request.status)
    if request.status is RequestStatus.COMPLETED:
        assert result["response"]["status_code"] == 200
        assert request.result is not None
        line = world.memory.reader.read(
            request.result.key, request.result.start, request.result.stop
        )
        assert json.loads(line)["custom_id"] == request_id
    else:
        assert result["error"]["code"] == request.error_code
