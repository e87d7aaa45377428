"""Who is admitted to the engine, and when: in requests, in tokens, the older shard first."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.usage import Usage
from offpeak.worker.engine import EngineLimits
from offpeak.worker.line_tokens import LineTokens
from offpeak.worker.window import AdmissionWindow

OLDER, YOUNGER = 0, 1


class Queue:
    """Waiters on a window, by name, in the order in which they get in."""

    def __init__(self, window: AdmissionWindow) -> None:
        self.window = window
        self.admitted: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str, tokens: int, age: int = OLDER) -> None:
        async def wait() -> None:
            await self.window.acquire(age, tokens)
            self.admitted.append(name)

        self.tasks[name] = asyncio.create_task(wait())
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_requests_and_tokens_are_both_bounded() -> None:
    async def run() -> None:
        queue = Queue(AdmissionWindow(requests_max=3, tokens_max=100))
        for name, tokens in (("a", 40), ("b", 40), ("c", 40), ("d", 1)):
            await queue.ask(name, tokens)
        assert queue.admitted == ["a", "b"]  # c is over the tokens, and d waits behind it
        queue.window.release(40)
        await settle()
        assert queue.admitted == ["a", "b", "c", "d"]
        await queue.ask("e", 1)
        assert queue.window.requests == 3
        assert "e" not in queue.admitted

    asyncio.run(run())


def test_a_long_request_is_not_overtaken_by_short_ones_for_ever() -> None:
    async def run() -> None:
        queue = Queue(AdmissionWindow(requests_max=100, tokens_max=10))
        for name in ("short 1", "short 2"):
            await queue.ask(name, 5)
        await queue.ask("long", 10)
        for number in range(3, 6):
            await queue.ask(f"short {number}", 1)
        queue.window.release(5)
        await settle()
        assert "long" not in queue.admitted
        queue.window.release(5)
        await settle()
        assert queue.admitted == ["short 1", "short 2", "long"]

    asyncio.run(run())


def test_an_older_shard_s_request_goes_before_those_that_wait_longer() -> None:
    async def run() -> None:
        queue = Queue(AdmissionWindow(requests_max=1, tokens_max=10))
        await queue.ask("first", 1)
        await queue.ask("younger", 1, YOUNGER)
        await queue.ask("older", 1, OLDER)
        queue.window.release(1)
        await settle()
        assert queue.admitted == ["first", "older"]

    asyncio.run(run())


def test_who_asks_for_every_token_is_alone_and_who_asks_for_more_gets_in() -> None:
    async def run() -> None:
        queue = Queue(AdmissionWindow(requests_max=9, tokens_max=10))
        await queue.ask("first", 1)
        await queue.ask("alone", 99)
        await queue.ask("last", 1)
        assert queue.admitted == ["first"]
        queue.window.release(1)
        await settle()
        assert (queue.admitted, queue.window.requests) == (["first", "alone"], 1)
        queue.window.release(10)
        await settle()
        assert queue.admitted == ["first", "alone", "last"]

    asyncio.run(run())


def test_a_waiter_that_gives_up_at_the_head_lets_the_others_through() -> None:
    async def run() -> None:
        queue = Queue(AdmissionWindow(requests_max=9, tokens_max=10))
        await queue.ask("first", 5)
        await queue.ask("long", 10)
        await queue.ask("short", 5)
        queue.tasks["long"].cancel()
        await settle()
        assert queue.admitted == ["first", "short"]

    asyncio.run(run())


@given(
    asked=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30)), min_size=1, max_size=60),
    requests_max=st.integers(1, 8),
    given_up=st.sets(st.integers(0, 59)),
)
def test_everybody_gets_in_once_and_the_bounds_hold(
    asked: list[tuple[int, int]], requests_max: int, given_up: set[int]
) -> None:
    async def run() -> None:
        window = AdmissionWindow(requests_max, tokens_max=20)
        inside: list[int] = []
        done: list[int] = []

        async def visit(number: int, age: int, tokens: int) -> None:
            taken = await window.acquire(age, tokens)
            inside.append(taken)
            try:
                assert len(inside) <= requests_max
                assert sum(inside) <= 20
                for _ in range(number % 4):
                    await asyncio.sleep(0)
            finally:
                inside.remove(taken)
                window.release(taken)
            done.append(number)

        visits = [asyncio.create_task(visit(n, *each)) for n, each in enumerate(asked)]
        await asyncio.sleep(0)
        for number in given_up & set(range(len(visits))):
            visits[number].cancel()
        async with asyncio.timeout(60):
            ended = await asyncio.gather(*visits, return_exceptions=True)
        assert not [each for each in ended if isinstance(each, AssertionError)]
        assert set(range(len(visits))) - set(done) <= given_up
        assert window.requests == 0

    asyncio.run(run())


def test_it_is_as_wide_as_the_engine_says() -> None:
    limits = EngineLimits(requests=64, tokens=1_000, sequences=32, context_tokens=100)
    assert AdmissionWindow.of(limits, 1_024).tokens_max == 1_000
    with pytest.raises(ValueError, match="room for one"):
        AdmissionWindow(0, 1)


def test_what_a_line_will_take_is_learnt_from_those_that_went_before() -> None:
    tokens = LineTokens(context_tokens=4_000)
    assert tokens.guess(1_000) == pytest.approx(506, rel=0.1)
    assert tokens.guess(10**9) == 4_000
    for _ in range(2_000):
        usage = Usage(input_tokens=1_500, cached_tokens=1_400, output_tokens=16)
        tokens.learn(6_000, usage)
    assert tokens.guess(6_000) == pytest.approx(100 + 16, rel=0.1)
