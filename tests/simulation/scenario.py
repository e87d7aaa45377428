"""What happens in one simulated world: drawn from a seed, written down, and made smaller when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from random import Random
from typing import Any

from tests.steps.interleaving import Faults

DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """`kinds` has a letter a line: g good, b bad JSON, p poison (it kills the engine), u refused by the engine,
    s slower than a line may be, d a custom_id used before; `models` one of r(ed) or b(lue). Times are ticks of the
    world, 0 for never."""

    kinds: str
    models: str
    window_seconds: int = DAY
    billing: str = "meter"
    skips: bool = True
    cancel_at: int = 0
    dropped: bool = False


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`throttles` are (tick, port, seconds): the service behind a port refuses every second call for that long.
    `signals` are ticks at which every instance gets SIGTERM, `jumps` those at which time leaps past the next deadline,
    `deploy_at` when a new version goes out: other shard sizes, other prices."""

    seed: int
    faults: Faults
    batches: tuple[BatchPlan, ...] = ()
    requests: int = 0
    cancelled_requests: tuple[int, ...] = ()
    grouped: int = 0
    group_at: int = 0
    receiver: str = "well"
    throttles: tuple[tuple[int, str, int], ...] = ()
    signals: tuple[int, ...] = ()
    jumps: tuple[int, ...] = ()
    deploy_at: int = 0
    calm_at: int = 15_000

    def encode(self) -> dict[str, Any]:
        return asdict(self)


def decode(data: dict[str, Any]) -> Scenario:
    """Of what `encode` made, JSON in between."""
    return Scenario(
        **{
            **data,
            "faults": Faults(**data["faults"]),
            "batches": tuple(BatchPlan(**each) for each in data["batches"]),
            "throttles": tuple((int(t), str(p), int(s)) for t, p, s in data["throttles"]),
            **{name: tuple(data[name]) for name in ("cancelled_requests", "signals", "jumps")},
        }
    )


def draw(seed: int) -> Scenario:
    """The scenario of a seed: the same for ever, as long as this function is."""
    chance = Random(f"scenario {seed}")
    requests = chance.choice([0, 0, 3, 8])
    return Scenario(
        seed=seed,
        faults=_faults(chance),
        batches=tuple(_batch(chance) for _ in range(chance.choice([1, 1, 2, 3]))),
        requests=requests,
        cancelled_requests=_some(chance, range(requests), 0.2),
        grouped=chance.randint(0, requests),
        group_at=chance.randint(1, 3_000),
        receiver=chance.choice(["well", "well", "slow to accept", "silent at first"]),
        throttles=tuple(
            (chance.randint(1, 6_000), chance.choice(_THROTTLED), chance.choice([60, 600]))
            for _ in range(chance.choice([0, 0, 1, 3]))
        ),
        signals=tuple(chance.randint(100, 8_000) for _ in range(chance.choice([0, 0, 1, 2]))),
        jumps=(chance.randint(200, 8_000),) if chance.random() < 0.1 else (),
        deploy_at=chance.randint(100, 5_000) if chance.random() < 0.25 else 0,
    )  # fmt: skip


_THROTTLED = (
    "reader",
    "writer",
    "changes",
    "endpoints",
    "shards",
    "runs",
    "callbacks",
    "workflows",
)


def _faults(chance: Random) -> Faults:
    """Each kind is off in some worlds, so that no kind hides what another would show."""
    whole = {
        "death": 0.003,
        "unavailable": 0.004,
        "lost": 0.08,
        "doubled": 0.2,
        "lag": 0.2,
        "freeze": 0.003,
    }
    return Faults(**{kind: rate * chance.choice([0, 1, 1, 2]) for kind, rate in whole.items()})


def _batch(chance: Random) -> BatchPlan:
    lines = chance.choice([1, 5, 12, 12, 30, 30, 120])
    mixed = chance.random() < 0.4
    kinds = [chance.choices("gu", [9, 1])[0] for _ in range(lines)]
    if chance.random() < 0.4:
        for letter in chance.choices("bpsd", [2, 1, 1, 2], k=2):
            kinds[chance.randrange(lines)] = letter
    return BatchPlan(
        kinds="".join(kinds),
        models="".join(chance.choice("rb") if mixed else "r" for _ in range(lines)),
        window_seconds=chance.choice([300, 1_500, DAY, DAY]),
        billing=chance.choice(["off", "meter", "enforce", "poor"]),
        skips=chance.random() < 0.8,
        cancel_at=chance.randint(1, 5_000) if chance.random() < 0.25 else 0,
        dropped=chance.random() < 0.15,
    )


def _some(chance: Random, among: range, share: float) -> tuple[int, ...]:
    return tuple(each for each in among if chance.random() < share)


def simpler(scenario: Scenario) -> Iterator[Scenario]:
    """Scenarios with one thing less, the boldest cuts first."""
    for kind in fields(Faults):
        if getattr(scenario.faults, kind.name):
            calmer = replace(scenario.faults, **{kind.name: 0.0})
            yield replace(scenario, faults=calmer)
    for number in range(len(scenario.batches)):
        yield replace(scenario, batches=_without(scenario.batches, number))
    if scenario.requests:
        yield replace(scenario, requests=0, cancelled_requests=(), grouped=0)
    yield from _with_less_befalling(scenario)
    for number, plan in enumerate(scenario.batches):
        for less in _simpler_batches(plan):
            before, after = scenario.batches[:number], scenario.batches[number + 1 :]
            yield replace(scenario, batches=(*before, less, *after))


def _with_less_befalling(scenario: Scenario) -> Iterator[Scenario]:
    for name in ("throttles", "signals", "jumps", "cancelled_requests"):
        for number in range(len(getattr(scenario, name))):
            fewer: dict[str, Any] = {name: _without(getattr(scenario, name), number)}
            yield replace(scenario, **fewer)
    for name in ("deploy_at", "grouped"):
        if getattr(scenario, name):
            none: dict[str, Any] = {name: 0}
            yield replace(scenario, **none)


def _simpler_batches(plan: BatchPlan) -> Iterator[BatchPlan]:
    half = len(plan.kinds) // 2
    if half:
        yield replace(plan, kinds=plan.kinds[:half], models=plan.models[:half])
        yield replace(plan, kinds=plan.kinds[half:], models=plan.models[half:])
    plain: dict[str, Any] = {"cancel_at": 0, "dropped": False, "billing": "off", "window_seconds": DAY, "skips": True,
             "kinds": "g" * len(plan.kinds), "models": "r" * len(plan.models)}  # fmt: skip
    for name, value in plain.items():
        if getattr(plan, name) != value:
            yield replace(plan, **{name: value})


def _without(items: tuple[Any, ...], number: int) -> tuple[Any, ...]:
    return items[:number] + items[number + 1 :]
