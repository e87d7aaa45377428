"""A sample of a file: the whole of a small one, stretches of a large one, never all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

import pytest

from offpeak.core.file import File
from offpeak.memory.memory import Memory
from offpeak.steps import sample_lines as module
from offpeak.steps.sample_lines import Sample, sample_lines
from tests.steps.simulation import CATALOGUE, ENDPOINT, request


def line(number: int, model: str = "red", *, max_tokens: int = 10, prompt: str = "hi") -> bytes:
    body = {"model": model, "prompt": prompt, "max_tokens": max_tokens}
    text = {"custom_id": f"c{number}", "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(text).encode() + b"\n"


def sample(content: bytes, memory: Memory | None = None) -> Sample:
    memory = memory or Memory()
    memory.writer.put("files/acct_1/file-1", content)
    file = File(
        id="file-1", account_id="acct_1", filename="f", purpose="batch", bytes=len(content),
        key="files/acct_1/file-1", created_at=0,
    )  # fmt: skip
    return sample_lines(file, ENDPOINT, reader=memory.reader, catalogue=CATALOGUE)


def test_a_small_file_is_counted_exactly() -> None:
    content = b"\xef\xbb\xbf" + b"".join(line(n, "red" if n % 3 else "blue") for n in range(30))
    found = sample(content + b"not json\n" + request("last") + b"\n\n")
    assert found.is_whole
    assert (found.lines, found.bad_lines) == (32, 1)
    assert {model: work.lines for model, work in found.works.items()} == {"red": 21, "blue": 10}
    assert found.works["blue"].completion_tokens == 100
    assert found.works["red"].completion_tokens == 200 + 4_096
    assert sum(work.input_bytes for work in found.works.values()) == len(content) + len(
        request("last") + b"\n"
    )


@pytest.fixture
def small_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRETCH_BYTES", 5_000)


@pytest.mark.usefixtures("small_stretches")
def test_a_large_file_is_reckoned_up_from_whole_lines_spread_over_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = Random(1)
    prompts = ["x" * random.randint(1, 90) for _ in range(20_000)]
    lines = [line(n, random.choice(["red", "blue"]), prompt=text) for n, text in enumerate(prompts)]
    memory = Memory()
    read = 0
    stream = memory.reader.stream

    def counted(
        key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None
    ) -> Iterator[bytes]:
        nonlocal read
        for chunk in stream(key, start, stop, etag=etag):
            read += len(chunk)
            yield chunk

    monkeypatch.setattr(memory.reader, "stream", counted)
    found = sample(b"".join(lines), memory)
    assert not found.is_whole
    assert found.bad_lines == 0
    assert read <= module.STRETCHES * 5_000
    assert sum(work.lines for work in found.works.values()) == pytest.approx(20_000, rel=0.1)
    total = sum(work.input_bytes for work in found.works.values())
    assert total == pytest.approx(sum(map(len, lines)), rel=0.001)


@pytest.mark.usefixtures("small_stretches")
def test_a_file_of_one_endless_line_has_no_requests() -> None:
    found = sample(b"x" * 100_000)
    assert not found.works
