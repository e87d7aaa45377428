"""How many tokens a byte a sample's lines have, by their model's own tokenizer, where one is staged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from offpeak.core.model import Model
from offpeak.core.ports import Clock, Tokenizers
from offpeak.planner.scale_counts import Counted, CountedLine, scale_counts
from offpeak.wire.prompt_texts import PromptTexts

SECONDS_MAX = 8.0
"""For all models of a file, where API Gateway gives up after 29."""
LINES_AT_ONCE = 32
"""Between two looks at the clock: at most half a megabyte of text, of which a tokenizer takes some MB a second."""


@dataclass(frozen=True, slots=True)
class DrawnLine:
    """One of a sample: its bytes in the file, its texts, and what its answers may take at most; 0 where it doesn't
    say."""

    bytes: int
    prompt: PromptTexts
    limit: int = 0


def count_tokens(
    model: Model, drawn: Sequence[DrawnLine], lines: int, a_byte: float, *, deadline: float,
    clock: Clock, tokenizers: Tokenizers,
) -> Counted | None:  # fmt: skip
    """`drawn` out of `lines`, in random order; `a_byte` is what bytes count that are no text. As many are counted as
    there is time for before `deadline`; None where that are too few, or no tokenizer is staged."""
    counted: list[CountedLine] = []
    waiting = iter(drawn)
    while clock.now() < deadline and (some := list(islice(waiting, LINES_AT_ONCE))):
        texts = [text for line in some for text in line.prompt.texts]
        counts = tokenizers.count(model.pool, texts, are_prompts=some[0].prompt.are_prompts)
        if counts is None:
            return None
        counted.extend(_counted(some, iter(counts), a_byte))
    return scale_counts(counted, lines)


def _counted(
    lines: Sequence[DrawnLine], counts: Iterator[int], a_byte: float
) -> Iterator[CountedLine]:
    for line in lines:
        mine = list(islice(counts, len(line.prompt.texts)))
        yield CountedLine(line.bytes, line.prompt.tokens_of(mine, a_byte))
