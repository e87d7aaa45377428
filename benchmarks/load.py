"""Many batches and many clients at once on the local cloud: is anything lost, refused, or does memory grow?

    make bench-load        (BATCHES=500 CLIENTS=1000 SECONDS=600)

`batches` are open at any time: whoever sees its own end reads its results, checks them line by line, and makes the
next one. Beside the owners further clients look at the same batches. Each of them asks every `poll_seconds`, each at a
moment of its own, on the echo engine, through door and gateway. After `seconds` no batch is made any more and the open
ones are cancelled. A batch is lost if it doesn't end with each line once, in its output or its error file, in order;
one that nobody cancelled if not all lines are in its output.

The seconds begin when all batches are validated. Latencies and memory are those of the `seconds` alone; errors are
counted from the first call until the seconds are over. Memory is resident, by process: ours, and the AWS emulator's,
which keeps tables, queues, logs and executions in its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from benchmarks.resident import Sampler
from offpeak.local.cloud import LocalCloud
from offpeak.local.processes import leave_on_signals

ACCOUNTS = 10
CALL_SECONDS_MAX = 60.0
DRAIN_SECONDS_MAX = 1_800.0
SAMPLE_SECONDS = 15.0
CREATORS = 4
CONCURRENCY = 8
CREATED_POLL_SECONDS = 0.5
ENDING_AT_ONCE, END_POLL_SECONDS = 4, 1.0
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
ENDPOINT = "/v1/chat/completions"
say = partial(print, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`line_seconds` is how long the engine takes for a line: it says how fast batches end, so how busy the rest is."""

    batches: int = 500
    clients: int = 1_000
    seconds: float = 600.0
    poll_seconds: float = 30.0
    lines: int = 10
    line_seconds: float = 30.0


@dataclass(slots=True)
class Seen:
    """What clients met. Latencies in seconds, of polls alone; `made` and `ended` count batches."""

    polls: int = 0
    errors_5xx: int = 0
    other_errors: int = 0
    latencies: list[float] = field(default_factory=list)
    made: int = 0
    ended: int = 0
    lost: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Place:
    """One of the batches that are open at a time, whichever it is now. Its owner, an account's key, and its file."""

    key: str
    file_id: str
    batch_id: str = ""


def input_lines(model: str, load: Load) -> list[dict[str, Any]]:
    text = f"[[sleep={load.line_seconds}]] Say"
    return [
        {
            "custom_id": f"line-{n:04}", "method": "POST", "url": ENDPOINT,
            "body": {"model": model, "messages": [{"role": "user", "content": f"{text} {n}."}]},
        }
        for n in range(load.lines)
    ]  # fmt: skip


class Crowd:
    """All clients of one run. `measuring` until the seconds are over; only until then they poll."""

    def __init__(
        self, http: httpx.AsyncClient, lines: Sequence[dict[str, Any]], load: Load
    ) -> None:
        self._http = http
        self._lines = lines
        self._load = load
        self._until = 0.0
        self._ending = asyncio.Semaphore(ENDING_AT_ONCE)
        self.seen = Seen()

    @property
    def measuring(self) -> bool:
        return time.monotonic() < self._until

    async def call(self, method: str, path: str, key: str, **request: Any) -> httpx.Response | None:
        """None when the answer was an error or none at all; which is counted."""
        headers = {"Authorization": f"Bearer {key}", **request.pop("headers", {})}
        try:
            answer = await self._http.request(method, path, headers=headers, **request)
        except httpx.TransportError as error:
            say(f"{method} {path}: {error!r}")
            self.seen.other_errors += 1
            return None
        if answer.is_success:
            return answer
        say(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        if answer.status_code >= 500:
            self.seen.errors_5xx += 1
        else:
            self.seen.other_errors += 1
        return None

    async def upload(self, key: str) -> str:
        content = b"".join(json.dumps(line).encode() + b"\n" for line in self._lines)
        answer = await self.call(
            "POST", "/files", key, data={"purpose": "batch"},
            files={"file": ("lines.jsonl", content)},
        )  # fmt: skip
        if answer is None:
            raise SystemExit("An input file could not be uploaded.")
        return str(answer.json()["id"])

    async def create(self, place: Place) -> None:
        """Again until there is a batch: whoever is refused would try again, too."""
        wanted = {
            "input_file_id": place.file_id, "endpoint": ENDPOINT, "completion_window": "24h"
        }  # fmt: skip
        idempotency = {"Idempotency-Key": f"{random.getrandbits(128):032x}"}
        while True:
            answer = await self.call(
                "POST", "/batches", place.key, json=wanted, headers=idempotency
            )
            if answer is not None:
                place.batch_id = answer.json()["id"]
                self.seen.made += 1
                return
            await asyncio.sleep(1)

    async def run(self, places: Sequence[Place]) -> None:
        """The clients at their work for the seconds, and then the owners until their last batches have ended."""
        self._until = time.monotonic() + self._load.seconds
        clients = [
            self._client(places[n % len(places)], is_owner=n < len(places))
            for n in range(self._load.clients)
        ]
        try:
            async with asyncio.timeout(self._load.seconds + DRAIN_SECONDS_MAX):
                await asyncio.gather(*clients)
        except TimeoutError:
            say("some batches have not ended; they count as lost")

    async def _client(self, place: Place, *, is_owner: bool) -> None:
        pause = self._load.poll_seconds
        await asyncio.sleep(random.uniform(0, pause))
        next_at = time.monotonic()
        while self.measuring:
            await self._poll(place, is_owner=is_owner)
            next_at = max(next_at + pause, time.monotonic())
            await asyncio.sleep(next_at - time.monotonic())
        if is_owner:
            async with self._ending:
                await self._end(place)

    async def _poll(self, place: Place, *, is_owner: bool) -> None:
        began = time.monotonic()
        answer = await self.call("GET", f"/batches/{place.batch_id}", place.key)
        self.seen.polls += 1
        self.seen.latencies.append(time.monotonic() - began)
        if is_owner and answer is not None and answer.json()["status"] in ENDED:
            await self._check(place, answer.json())
            await self.create(place)

    async def _end(self, place: Place) -> None:
        """Cancels it, if there is still something to cancel, and waits until it has ended."""
        await self.call("POST", f"/batches/{place.batch_id}/cancel", place.key)
        while True:
            answer = await self.call("GET", f"/batches/{place.batch_id}", place.key)
            if answer is not None and answer.json()["status"] in ENDED:
                await self._check(place, answer.json())
                return
            await asyncio.sleep(END_POLL_SECONDS)

    async def _check(self, place: Place, batch: dict[str, Any]) -> None:
        self.seen.ended += 1
        if not await self._is_whole(place, batch):
            say(f"lost: {batch}")
            self.seen.lost.append(batch["id"])

    async def _is_whole(self, place: Place, batch: dict[str, Any]) -> bool:
        wanted = [line["custom_id"] for line in self._lines]
        output, errors = [
            await self._ids(place, batch[name]) for name in ("output_file_id", "error_file_id")
        ]
        if batch["status"] == "completed":
            return output == wanted and not errors
        in_order = all(sorted(ids, key=wanted.index) == ids for ids in (output, errors))
        return batch["status"] == "cancelled" and in_order and sorted(output + errors) == wanted

    async def _ids(self, place: Place, file_id: str | None) -> list[str]:
        """The lines of a result file, by custom id, again until it can be read."""
        answer = None
        while file_id is not None and answer is None:
            answer = await self.call("GET", f"/files/{file_id}/content", place.key)
            await asyncio.sleep(0 if answer is not None else 1)
        lines = answer.text.splitlines() if answer is not None else []
        return [json.loads(line)["custom_id"] for line in lines]


async def crowd(cloud: LocalCloud, load: Load) -> dict[str, Any]:
    """The figures of one run on a cloud that is there."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(
        base_url=f"{cloud.base_url}/v1", timeout=CALL_SECONDS_MAX, limits=limits, trust_env=False,
        follow_redirects=True,
    ) as http:  # fmt: skip
        clients = Crowd(http, input_lines(cloud.model, load), load)
        keys = [cloud.new_key(f"load-{n}")[1] for n in range(min(ACCOUNTS, load.batches))]
        files = [await clients.upload(key) for key in keys]
        places = [Place(keys[n % len(keys)], files[n % len(keys)]) for n in range(load.batches)]
        began = time.monotonic()
        await _create_all(clients, places)
        say(f"{load.batches} batches are under way after {time.monotonic() - began:.1f} s")
        with Sampler(cloud, min(SAMPLE_SECONDS, load.seconds / 4)) as sampler:
            run = asyncio.create_task(clients.run(places))
            await asyncio.wait({run}, timeout=load.seconds)
        seen = clients.seen
        errors = seen.errors_5xx, seen.other_errors
        say(f"the time is over: {seen.ended} batches have ended, {seen.polls} polls")
        await run
        say(f"the last of {seen.made} batches has ended after {time.monotonic() - began:.1f} s")
    return figures(load, seen, errors, sampler.samples)


async def _create_all(clients: Crowd, places: Sequence[Place]) -> None:
    """Each creator waits until its batch is past its beginning before it makes the next. On AWS functions scale; here
    each cold start is paid for by the processors that everybody else needs, and the crowd is what is measured, not its
    arrival."""
    waiting = iter(places)

    async def create() -> None:
        for place in waiting:
            await clients.create(place)
            await _validated(clients, place)

    await asyncio.gather(*(create() for _ in range(CREATORS)))


async def _validated(clients: Crowd, place: Place) -> None:
    while True:
        answer = await clients.call("GET", f"/batches/{place.batch_id}", place.key)
        if answer is not None and answer.json()["status"] != "validating":
            return
        await asyncio.sleep(CREATED_POLL_SECONDS)


def figures(
    load: Load, seen: Seen, errors: tuple[int, int], samples: Sequence[dict[str, float]]
) -> dict[str, Any]:
    """`rss_mb`: at the start, half way and at the end of the seconds, by process."""
    latencies = sorted(seen.latencies)
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else latencies * 99
    first, half, last = samples[0], samples[len(samples) // 2], samples[-1]
    return {
        "seconds": load.seconds,
        "clients": load.clients,
        "batches_open": load.batches,
        "batches": seen.made,
        "lost": len(seen.lost) + seen.made - seen.ended,
        "polls": seen.polls,
        "errors_5xx": errors[0],
        "errors_other": errors[1],
        "p50_ms": round(1_000 * cuts[49], 1),
        "p99_ms": round(1_000 * cuts[98], 1),
        "rss_mb": {
            name: {"start": first[name], "half": half.get(name, 0.0), "end": last[name]}
            for name in first
            if name in last
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    default = Load()
    parser.add_argument("--batches", type=int, default=default.batches, help="open at a time")
    parser.add_argument("--clients", type=int, default=default.clients)
    parser.add_argument("--seconds", type=float, default=default.seconds)
    parser.add_argument(
        "--line-seconds", type=float, default=default.line_seconds,
        help="what the engine takes for a line: how fast batches end and others are made",
    )  # fmt: skip
    asked = parser.parse_args()
    load = Load(
        batches=asked.batches,
        clients=asked.clients,
        seconds=asked.seconds,
        line_seconds=asked.line_seconds,
    )
    with (
        leave_on_signals(),
        tempfile.TemporaryDirectory(prefix="offpeak-") as folder,
        LocalCloud(
            engine="echo", folder=Path(folder), tell=say, model_fields={"concurrency": CONCURRENCY}
        ) as cloud,
    ):
        cloud.wait_for_workers()
        found = asyncio.run(crowd(cloud, load))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
