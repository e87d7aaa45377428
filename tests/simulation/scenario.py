"""What happens in one simulated world: drawn from a seed, written down, and made smaller when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from random import Random
from typing import Any

from tests.steps.interleaving import CALM, Faults

DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """`kinds` has a letter a line: g good, b bad JSON, p poison (it kills the engine), m murder (it
    kills the whole worker, which leaves no word), u refused by the engine,
    s slower than a line may be, d a custom_id used before; `models` one of r(ed) or b(lue). Times are ticks of the
    world, 0 for never. Its input comes by POST, `uploaded` in parts, or is `dropped`; with `is_read`, somebody reads
    its results while it runs."""

    kinds: str
    models: str
    window_seconds: int = DAY
    billing: str = "meter"
    skips: bool = True
    cancel_at: int = 0
    dropped: bool = False
    uploaded: bool = False
    delete_input_at: int = 0
    is_read: bool = False


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`requests` has a letter a stand-alone request, as a batch's `kinds`; the first `grouped` of them are put into a
    group, the next `extended` added to it; with `has_rival`, another call wants them for a group of its own.
    `throttles` are (tick, service, seconds): the service refuses every second
    call for that long. `signals` are ticks at which every instance gets SIGTERM, `jumps` those at which time leaps past
    the next deadline, `deploy_at` when a new version goes out: other shard sizes, other prices. `credits` are (tick,
    micro-dollars). With `reorders`, lines are rewritten in the order of their prompts; with `in_chunks`, results are
    put together as large ones are. `range_bytes` are validated by one call; `function_seconds` is a call's limit. With
    `uploads_age`, the first upload in parts of each batch's results is given up before it is complete. `tokens_max` is
    what each account may have enqueued of a model, 0 for no limit."""

    seed: int
    faults: Faults
    batches: tuple[BatchPlan, ...] = ()
    requests: str = ""
    cancelled_requests: tuple[int, ...] = ()
    grouped: int = 0
    extended: int = 0
    has_rival: bool = False
    group_at: int = 0
    cancel_group_at: int = 0
    credits: tuple[tuple[int, int], ...] = ()
    reorders: bool = False
    in_chunks: bool = False
    range_bytes: int = 64 << 20
    function_seconds: int = 900
    uploads_age: bool = False
    receiver: str = "well"
    tokens_max: int = 0
    throttles: tuple[tuple[int, str, int], ...] = ()
    signals: tuple[int, ...] = ()
    jumps: tuple[int, ...] = ()
    deploy_at: int = 0
    calm_at: int = 15_000

    @property
    def is_calm(self) -> bool:
        return self == becalmed(self)

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
            "credits": tuple((int(t), int(amount)) for t, amount in data["credits"]),
            **{name: tuple(data[name]) for name in ("cancelled_requests", "signals", "jumps")},
        }
    )


def draw(seed: int) -> Scenario:
    """The scenario of a seed: the same for ever, as long as this function is."""
    chance = Random(f"scenario {seed}")
    requests = chance.choice([0, 0, 3, 8, 20])
    grouped = chance.randint(0, requests)
    drawn = Scenario(
        seed=seed,
        faults=_faults(chance),
        batches=tuple(_batch(chance) for _ in range(chance.choice([1, 1, 2, 3]))),
        requests="".join(chance.choices("gups", [20, 2, 1, 1], k=requests)),
        cancelled_requests=_some(chance, range(requests), 0.2),
        grouped=grouped,
        extended=chance.randint(0, requests - grouped),
        group_at=chance.randint(1, 3_000),
        cancel_group_at=chance.randint(1, 5_000) if chance.random() < 0.2 else 0,
        credits=tuple(
            (chance.randint(1, 3_000), chance.choice([1, 200_000, 5_000_000, -300_000]))
            for _ in range(chance.choice([0, 1, 3]))
        ),
        reorders=chance.random() < 0.3,
        in_chunks=chance.random() < 0.4,
        range_bytes=chance.choice([64 << 20, 64 << 20, 4_000, 500]),
        function_seconds=chance.choice([900, 900, 120, 40]),
        receiver=chance.choice(["well", "well", "slow to accept", "silent at first"]),
        throttles=tuple(
            (chance.randint(1, 6_000), chance.choice(_THROTTLED), chance.choice([60, 600]))
            for _ in range(chance.choice([0, 0, 1, 3]))
        ),
        signals=tuple(chance.randint(100, 8_000) for _ in range(chance.choice([0, 0, 1, 2]))),
        jumps=(chance.randint(200, 8_000),) if chance.random() < 0.1 else (),
        deploy_at=chance.randint(100, 5_000) if chance.random() < 0.25 else 0,
    )  # fmt: skip
    is_stormy = chance.random() < 0.92
    drawn = replace(drawn, has_rival=chance.random() < 0.3)
    drawn = replace(drawn, uploads_age=drawn.in_chunks and chance.random() < 0.3)
    if chance.random() < 0.12:
        drawn = replace(drawn, batches=(*drawn.batches[:-1], _murderous(chance, drawn.batches[-1])))
    # Lines have about 31 tokens: batches of 30 and 120 fit by themselves, or side by side, or not at all.
    limits = Random(f"limits {seed}")
    drawn = replace(drawn, tokens_max=limits.choice([0, 0, 0, 700, 1_500, 5_000]))
    return drawn if is_stormy else becalmed(drawn)


def becalmed(scenario: Scenario) -> Scenario:
    """Where nothing goes wrong, nothing is done twice either."""
    return replace(
        scenario, faults=CALM, throttles=(), signals=(), jumps=(), deploy_at=0,
        function_seconds=900, uploads_age=False,
    )  # fmt: skip


_THROTTLED = (
    "s3",
    "dynamodb",
    "sagemaker",
    "sqs",
    "stepfunctions",
    "eventbridge",
    "receivers",
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
        "late": 0.003,
        "echo": 0.01,
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
        uploaded=chance.random() < 0.2,
        delete_input_at=chance.randint(1, 5_000) if chance.random() < 0.1 else 0,
        is_read=chance.random() < 0.2,
    )


def _murderous(chance: Random, plan: BatchPlan) -> BatchPlan:
    at = chance.randrange(len(plan.kinds))
    return replace(plan, kinds=plan.kinds[:at] + "m" + plan.kinds[at + 1 :])


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
        yield replace(
            scenario, requests="", cancelled_requests=(), grouped=0, extended=0, cancel_group_at=0
        )
    yield from _with_less_befalling(scenario)
    for number, plan in enumerate(scenario.batches):
        for less in _simpler_batches(plan):
            before, after = scenario.batches[:number], scenario.batches[number + 1 :]
            yield replace(scenario, batches=(*before, less, *after))


def _with_less_befalling(scenario: Scenario) -> Iterator[Scenario]:
    for name in ("throttles", "signals", "jumps", "cancelled_requests", "credits"):
        for number in range(len(getattr(scenario, name))):
            fewer: dict[str, Any] = {name: _without(getattr(scenario, name), number)}
            yield replace(scenario, **fewer)
    plain: dict[str, Any] = {
        "deploy_at": 0, "extended": 0, "has_rival": False, "cancel_group_at": 0, "grouped": 0,
        "reorders": False, "in_chunks": False, "uploads_age": False,
        "range_bytes": 64 << 20, "function_seconds": 900, "receiver": "well", "tokens_max": 0,
        "requests": "g" * len(scenario.requests),
    }  # fmt: skip
    for name, value in plain.items():
        if getattr(scenario, name) != value:
            yield replace(scenario, **{name: value})


def _simpler_batches(plan: BatchPlan) -> Iterator[BatchPlan]:
    half = len(plan.kinds) // 2
    if half:
        yield replace(plan, kinds=plan.kinds[:half], models=plan.models[:half])
        yield replace(plan, kinds=plan.kinds[half:], models=plan.models[half:])
    plain: dict[str, Any] = {"cancel_at": 0, "dropped": False, "uploaded": False, "delete_input_at": 0,
             "is_read": False, "billing": "off", "window_seconds": DAY, "skips": True,
             "kinds": "g" * len(plan.kinds), "models": "r" * len(plan.models)}  # fmt: skip
    for name, value in plain.items():
        if getattr(plan, name) != value:
            yield replace(plan, **{name: value})


def _without(items: tuple[Any, ...], number: int) -> tuple[Any, ...]:
    return items[:number] + items[number + 1 :]
