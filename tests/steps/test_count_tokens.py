"""Counting a sample: as the model's tokenizer does, within its time, or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random

import pytest

from offpeak.aws.tokenizers import StagedTokenizers
from offpeak.core.catalogue import Catalogue
from offpeak.core.file import File
from offpeak.core.layout import tokenizer_key
from offpeak.core.model import Model
from offpeak.memory.clock import FrozenClock
from offpeak.memory.memory import Memory
from offpeak.steps import sample_lines as module
from offpeak.steps.count_tokens import LINES_AT_ONCE, DrawnLine, count_tokens
from offpeak.steps.sample_lines import DRAWN_MAX, Sample, sample_lines
from offpeak.wire.prompt_texts import read_prompt_texts
from tests.tiny_tokenizer import DOCUMENTS, tiny_tokenizer, tiny_tokenizer_json

CHAT = "/v1/chat/completions"
MODEL = Model(id="chat", pool="chat", source="hub", endpoints=(CHAT,), context_tokens=8_192)


def chat_line(number: int, *texts: str) -> bytes:
    messages = [{"role": "user", "content": text} for text in texts]
    body = {"model": "chat", "messages": messages}
    return json.dumps(
        {"custom_id": f"c{number}", "method": "POST", "url": CHAT, "body": body}
    ).encode()


def drawn(lines: Sequence[bytes]) -> list[DrawnLine]:
    return [DrawnLine(len(line) + 1, read_prompt_texts(line, CHAT)) for line in lines]


def mixed_lines(count: int) -> list[bytes]:
    """From a word to pages of prose, markup and code, one to three messages."""
    random = Random(3)
    prose = "".join(path.read_text() for path in sorted(DOCUMENTS.glob("*.md")))
    found = []
    for number in range(count):
        texts = []
        for _ in range(random.randint(1, 3)):
            start = random.randrange(len(prose) - 6_000)
            texts.append(prose[start : start + round(5 * 10 ** random.uniform(0, 3))])
        found.append(chat_line(number, *texts))
    return found


def rendered(line: bytes) -> str:
    """By the tiny model's chat template, which is ChatML."""
    messages = json.loads(line)["body"]["messages"]
    turns = [f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages]
    return "".join(turns) + "<|im_start|>assistant\n"


def sample(memory: Memory, content: bytes) -> Sample:
    memory.writer.put("files/acct_1/file-1", content)
    file = File(
        id="file-1", account_id="acct_1", filename="f", purpose="batch", bytes=len(content),
        key="files/acct_1/file-1", created_at=0,
    )  # fmt: skip
    return sample_lines(file, CHAT, reader=memory.reader, catalogue=Catalogue((MODEL,)))


@pytest.mark.parametrize(
    ("stretch_bytes", "is_whole"), [(module.STRETCH_BYTES, True), (60_000, False)]
)
def test_input_tokens_are_within_five_percent_of_the_true_count(
    stretch_bytes: int, is_whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STRETCH_BYTES", stretch_bytes)
    lines = mixed_lines(2_000)
    truth = sum(
        len(each.ids)
        for each in tiny_tokenizer().encode_batch(
            [rendered(line) for line in lines], add_special_tokens=False
        )
    )
    memory = Memory()
    memory.writer.put(tokenizer_key("chat"), tiny_tokenizer_json())
    found = sample(memory, b"\n".join(lines) + b"\n")
    assert found.is_whole is is_whole
    counted = count_tokens(
        MODEL, found.drawn["chat"], found.works["chat"].lines, 1 / 4, deadline=memory.clock.now() + 1,
        clock=memory.clock, tokenizers=StagedTokenizers(memory.reader),
    )  # fmt: skip
    assert counted is not None
    assert counted.lines == DRAWN_MAX
    tokens = counted.expected * found.works["chat"].input_bytes
    assert tokens == pytest.approx(truth, rel=0.05)
    assert counted.low < counted.expected < counted.high


def test_without_a_tokenizer_nothing_is_counted() -> None:
    memory = Memory()
    lines = drawn([chat_line(n, "Hi") for n in range(40)])
    assert (
        count_tokens(
            MODEL, lines, 40, 1 / 4, deadline=memory.clock.now() + 1, clock=memory.clock,
            tokenizers=memory.tokenizers,
        )
        is None
    )  # fmt: skip


class Slow:
    """A tokenizer that takes a second for each call, and counts one a text."""

    def __init__(self, clock: FrozenClock) -> None:
        self.clock = clock
        self.texts = 0

    def count(self, pool: str, texts: Sequence[str], *, are_prompts: bool = False) -> list[int]:
        self.clock.advance(1)
        self.texts += len(texts)
        return [1] * len(texts)


def test_counting_ends_in_time_with_what_it_has() -> None:
    clock = FrozenClock()
    slow = Slow(clock)
    lines = drawn([chat_line(n, "Hi") for n in range(256)])
    counted = count_tokens(
        MODEL, lines, 10_000, 1 / 4, deadline=clock.now() + 3, clock=clock, tokenizers=slow
    )
    assert counted is not None
    assert counted.lines == slow.texts == 3 * LINES_AT_ONCE
    late = count_tokens(
        MODEL, lines, 10_000, 1 / 4, deadline=clock.now(), clock=clock, tokenizers=slow
    )
    assert late is None


def test_lines_are_drawn_from_all_over_the_file_and_the_same_again() -> None:
    lines = [chat_line(n, f"number {n}") for n in range(3_000)]
    found = sample(Memory(), b"\n".join(lines))
    numbers = [int(line.prompt.texts[0].split()[1]) for line in found.drawn["chat"]]
    assert len(set(numbers)) == DRAWN_MAX
    assert sum(numbers) / DRAWN_MAX == pytest.approx(1_500, rel=0.2)
    assert numbers != sorted(numbers)
    assert found == sample(Memory(), b"\n".join(lines))
