"""Sends a stand-alone request, whatever the dialect it came in: for accounts whose credits allow it."""

from __future__ import annotations

from lambdas.api.call import Call
from lambdas.api.ports import Ports
from offpeak.core.request import Request
from offpeak.steps.create_request import NewRequest, create_request
from offpeak.steps.remembered_credits import RememberedCredits


class RequestSender:
    """One for each dialect's routes, as long as the process lives: it remembers balances."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._credits = RememberedCredits(clock=ports.clock, ledger=ports.ledger)

    def send(self, call: Call, new: NewRequest) -> Request:
        """Raises InsufficientCredits, and what `create_request` raises."""
        ports = self._ports
        self._credits.check(call.account)
        return create_request(
            call.account,
            new,
            idempotency_key=call.idempotency_key,
            clock=ports.clock,
            catalogue=ports.catalogue,
            writer=ports.writer,
            changes=ports.changes,
            requests=ports.requests,
            idempotency=ports.idempotency,
            request_queue=ports.request_queue,
        )
