"""The admission window: what an engine has in flight, in requests and in tokens, shared by the shards on it.

Requests alone would not do: as many long prompts as there are short ones in a full window are more than the KV cache
holds several times over, and wait in the engine for hours. Tokens alone would not do either: an engine runs a limited
number of sequences, however short.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

from offpeak.worker.engine import EngineLimits

TOKENS_UNCOUNTED = 2**62
"""Of an engine that doesn't say what its cache holds."""


class AdmissionWindow:
    """First come, first served within a shard, an older shard before a younger one: `age` is lower for an older one.

    Whoever is at the head of the queue and does not fit yet holds up all others, so neither long nor short requests
    starve. One that asks for all of `tokens_max` is alone on the engine, and so is any one that asks for more.
    """

    def __init__(self, requests_max: int, tokens_max: int) -> None:
        if requests_max < 1 or tokens_max < 1:
            raise ValueError("A window needs room for one request.")
        self.tokens_max = tokens_max
        self._requests_max = requests_max
        self._requests = 0
        self._tokens = 0
        self._arrivals = count()
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []

    @classmethod
    def of(cls, limits: EngineLimits, requests_max: int) -> AdmissionWindow:
        """As wide as the engine says, and at most `requests_max`."""
        return cls(min(limits.requests, requests_max), limits.tokens or TOKENS_UNCOUNTED)

    @property
    def requests(self) -> int:
        """How many are in flight."""
        return self._requests

    def take(self, tokens: int) -> int:
        """What `acquire` gives when nobody waits and there is room; otherwise 0, and nothing is taken."""
        tokens = min(max(tokens, 1), self.tokens_max)
        if self._waiting or not self._has_room(tokens):
            return 0
        self._take(tokens)
        return tokens

    async def acquire(self, age: int, tokens: int) -> int:
        """Returns when there is room: the tokens that were taken, which `release` gives back."""
        if taken := self.take(tokens):
            return taken
        tokens = min(max(tokens, 1), self.tokens_max)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (age, next(self._arrivals), tokens, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(tokens)
            else:
                turn.cancel()
                self._admit()  # it may have been the head that held up others
            raise
        return tokens

    def release(self, tokens: int) -> None:
        self._requests -= 1
        self._tokens -= tokens
        self._admit()

    def _admit(self) -> None:
        """Gives turns while there is room. Waiters that were cancelled meanwhile are passed over."""
        while self._waiting:
            _, _, tokens, turn = self._waiting[0]
            if not turn.done():
                if not self._has_room(tokens):
                    return
                self._take(tokens)
                turn.set_result(None)
            heapq.heappop(self._waiting)

    def _has_room(self, tokens: int) -> bool:
        if self._requests == 0:
            return True
        return self._requests < self._requests_max and self._tokens + tokens <= self.tokens_max

    def _take(self, tokens: int) -> None:
        self._requests += 1
        self._tokens += tokens
