"""Lines that mean it ill, by the whole road: what validation passes, a worker answers, and each line ends once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.shard import Segment
from offpeak.wire.line_checker import BadLine, LineChecker
from offpeak.wire.nesting import NESTING_MAX
from offpeak.worker.engines.echo import EchoEngine
from tests.worker.world import CHAT, MODEL, World

CATALOGUE = Catalogue(
    (Model(id=MODEL, pool="p", source="s", endpoints=(CHAT,), context_tokens=8_192),)
)
LINE_BYTES_MAX = 1_000_000
DEEP = b"[" * (NESTING_MAX - 2) + b"]" * (NESTING_MAX - 2)


def line(custom_id: str, extra: bytes = b"1", content: bytes = b'"hi"') -> bytes:
    return (
        b'{"custom_id":"%s","method":"POST","url":"%s","body":{"model":"%s","messages":[{"role":"user","content":%s}],'
        b'"extra":%s}}' % (custom_id.encode(), CHAT.encode(), MODEL.encode(), content, extra)
    )


GOOD = {
    "deep": line("deep", DEEP),
    "deep-objects": line("deep-objects", b'{"a":' * (NESTING_MAX - 2) + b"1" + b"}" * (NESTING_MAX - 2)),
    "double": line("double", b"1e999"),
    "negative": line("negative", b"-1e999"),
    "digits": line("digits", b"9" * 4_000),
    "tiny": line("tiny", b"1e-9999"),
    "zero": line("zero", b"-0.0"),
    "twice": line("twice", b'{"a":1,"a":2}'),
    "nul": line("nul", b'"\\u0000"', b'"\\u0000"'),
    "bidi": line("bidi", b'"\\u202e\\u2066"', '"\u202eevil\u2069"'.encode()),
    "separators": line("separators", b"1", b'"\\u2028\\u2029\\u0085"'),
    "noncharacters": line("noncharacters", b"1", b'"\\uffff\\ufdd0"'),
    "escaped-key": line("escaped-key", b'{"im\\u0061ge_url":"http://169.254.169.254/"}'),
    "many-keys": line("many-keys", b"{" + b",".join(b'"k%d":0' % n for n in range(20_000)) + b"}"),
    "same-hash": line("same-hash", b"[" + b",".join(b"%d" % (n * (2**61 - 1)) for n in range(5_000)) + b"]"),
    "brackets": line("brackets", b"1", json.dumps("[{" * 100_000).encode()),
    "empty": line("empty", b'""', b'""'),
    **{
        f"too-deep-{depth}": line(f"too-deep-{depth}", b"[" * depth + b"]" * depth)
        for depth in (NESTING_MAX - 1, 700, 850)
    },
}  # fmt: skip
BAD = {
    "endless": b"[" * 900_000,
    "endless objects": b'{"a":' * 150_000,
    "surrogate": line("x", b'"\\ud800"'),
    "pair the wrong way": line("x", b'"\\udc00\\ud800"'),
    "raw surrogate": line("x", b'"\xed\xa0\x80"'),
    "overlong": line("x", b'"\xc0\xaf"'),
    "utf-16": line("x").decode().encode("utf-16"),
    "raw nul": line("x", b'"\x00"'),
    "nan": line("x", b"NaN"),
    "long": line("x", b'"' + b"a" * LINE_BYTES_MAX + b'"'),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00",
    "two": line("x") + line("y"),
    "unended": line("x")[:-1] + b',"a":"' + b'\\"' * 300_000,
}


def checker() -> LineChecker:
    return LineChecker(CHAT, CATALOGUE, LINE_BYTES_MAX)


def checked(raw: bytes, number: int) -> object:
    """As `split_blocks` gives it: too long is None."""
    return checker().check(raw if len(raw) <= LINE_BYTES_MAX else None, number)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_refused_by_its_number_and_in_a_sentence(name: str) -> None:
    found = checked(BAD[name], 41)
    assert isinstance(found, BadLine)
    assert found.error.line == 41
    assert found.error.code in {"invalid_json_line", "line_too_long"}
    assert found.error.message.isprintable()
    assert 20 < len(found.error.message) < 300


def test_whatever_validation_passes_a_worker_answers_beside_its_neighbours() -> None:
    for name, raw in GOOD.items():
        assert not isinstance(checked(raw, 1), BadLine), name
    world = World.of("unused")
    content = b"".join(raw + b"\n" for raw in GOOD.values())
    world.memory.writer.put("files/acct_1/hostile", content)
    segment = Segment(
        key="files/acct_1/hostile", start=0, stop=len(content), first_line=1, lines=len(GOOD)
    )
    world = replace(world, order=replace(world.order, segments=(segment,)))

    async def work() -> tuple[list[str], list[str]]:
        instance = world.instance(EchoEngine(MODEL, 0.0))
        await instance.start()
        try:
            outputs, errors = world.results(await instance.work(world.order))
        finally:
            await instance.close()
        return [each["custom_id"] for each in outputs], [each["custom_id"] for each in errors]

    outputs, errors = asyncio.run(work())
    assert sorted(outputs + errors) == sorted(GOOD)
    assert [each for each in errors if each != "escaped-key"] == [
        name for name in GOOD if name.startswith("too-deep")
    ]
