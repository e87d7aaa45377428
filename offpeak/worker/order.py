"""The order in which a shard's lines go to the engine: lines with a common beginning one after the other, as a walk
through the tree of their prefixes meets them. No cache that holds the longest request has more hits with any other
order (Zheng et al., "SGLang", 2024, theorem 3.1).

    file's order   a1 b1 x a2 b2 b3          a, b: two system prompts; x: a line that shares nothing
    tree           ── a ── 1 2
                   ── b ── 1 2 3
                   ── x
    order          a1 a2 b2 b1 b3 x          b2 is asked for the longest answer, so it begins first

Groups come as their first lines do in the file. So lines that share nothing stay where they are, and a file that is in
order already stays in order. Within a group those with the most to write for what they read come first, lest the shard
end with a few long answers and an idle engine.

A pilot, if one is wanted, goes ahead of all: lines drawn at random, from which to estimate how long answers are.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from offpeak.wire.prompts import prompt_reader, read_completion_tokens

NumberedLine = tuple[int, bytes]

SHARED_BYTES_MIN = 256
"""A common beginning that is shorter is JSON that all lines have, and few blocks of an engine's cache."""
BLOCK_BYTES = 64
"""16 tokens, the least that an engine caches. What is shared beyond a block's end is not."""
COMPARED_BYTES_MAX = 32_768
"""Of each prompt. Those that are equal so far are one group."""
BYTES_A_TOKEN = 4
COMPLETION_TOKENS_DEFAULT = 256
"""Of a line that says no limit: a guess, for comparing it with those that do."""
PILOT_LINES_MAX = 300
PILOT_GRAINS = (1, 4, 16, 64)
PILOT_COST_MAX = 0.005
"""Which share of the prompts' bytes a pilot may cause to be read again."""


def order_lines(
    lines: Sequence[NumberedLine], endpoint: str, *, pilot: str | None = None
) -> list[NumberedLine]:
    """The same lines, (number, raw bytes) each, in the order in which to admit them. With a `pilot`, the seed of its
    draw, a random sample of up to 300 comes first. Equal arguments give equal orders."""
    read = prompt_reader(endpoint).read
    prompts = [read(raw)[:COMPARED_BYTES_MAX] for _, raw in lines]
    order = _grouped(prompts, lines) if any(prompts) else list(range(len(lines)))
    if pilot is not None and len(lines) >= 2 * PILOT_LINES_MAX:
        order = _with_pilot(order, prompts, random.Random(pilot))
    return [lines[place] for place in order]


# ── groups ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Group:
    """Lines, by their places in the file, in the order in which to admit them. They share `depth` bytes."""

    depth: int
    places: list[int] = field(default_factory=list)
    first: int = 0
    written: int = 0
    read: int = 0
    """Tokens that its lines may write, bytes that they make the engine read."""

    @property
    def ratio(self) -> float:
        return self.written / max(1, self.read)


def _grouped(prompts: Sequence[bytes], lines: Sequence[NumberedLine]) -> list[int]:
    """The tree of common beginnings, built from the sorted prompts and put in order from its leaves to its root."""
    by_text = sorted(range(len(prompts)), key=prompts.__getitem__)
    shared = [_shared_bytes(prompts[one], prompts[other]) for one, other in pairwise(by_text)]
    if not any(shared):
        return list(range(len(prompts)))
    open_groups: list[tuple[int, list[_Group]]] = [(0, [])]
    for place, before, after in zip(by_text, [0, *shared], [*shared, 0], strict=True):
        group = _leaf(place, max(before, after), prompts[place], lines[place][1])
        while open_groups[-1][0] > after:
            depth, members = open_groups.pop()
            group = _joined(depth, [*members, group])
        if open_groups[-1][0] < after:
            open_groups.append((after, []))
        open_groups[-1][1].append(group)
    return _in_files_order(open_groups[0][1])


def _leaf(place: int, depth: int, prompt: bytes, raw: bytes) -> _Group:
    if depth == 0:  # shares nothing, and nobody asks for its ratio
        return _Group(0, [place], place)
    written = read_completion_tokens(raw, COMPLETION_TOKENS_DEFAULT)
    return _Group(depth, [place], place, written * BYTES_A_TOKEN, len(prompt) - depth)


def _joined(depth: int, members: list[_Group]) -> _Group:
    """One group of several that share `depth` bytes: read once, so that each is charged with what it has beyond."""
    members.sort(key=lambda group: (-group.ratio, group.first))
    return _Group(
        depth,
        [place for group in members for place in group.places],
        min(group.first for group in members),
        sum(group.written for group in members),
        sum(group.read + group.depth - depth for group in members),
    )


def _in_files_order(groups: list[_Group]) -> list[int]:
    return [
        place for group in sorted(groups, key=lambda group: group.first) for place in group.places
    ]


def _shared_bytes(one: bytes, other: bytes) -> int:
    """How many bytes both begin with, in whole blocks; none if it is few."""
    if one[:SHARED_BYTES_MIN] != other[:SHARED_BYTES_MIN]:
        return 0
    equal, unequal = 0, min(len(one), len(other)) // BLOCK_BYTES + 1
    while unequal - equal > 1:
        middle = (equal + unequal) // 2
        start, stop = equal * BLOCK_BYTES, middle * BLOCK_BYTES
        if one[start:stop] == other[start:stop]:
            equal = middle
        else:
            unequal = middle
    return equal * BLOCK_BYTES if equal * BLOCK_BYTES >= SHARED_BYTES_MIN else 0


# ── the pilot ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _with_pilot(order: list[int], prompts: Sequence[bytes], chance: random.Random) -> list[int]:
    """Lines drawn one by one are the best sample and tear groups apart; drawn in stretches of the order they tear
    fewer. The shortest stretches that cost little enough are taken, or no pilot. Every line has the same odds."""
    of_order = [0, *(_shared_bytes(prompts[a], prompts[b]) for a, b in pairwise(order))]
    affordable = PILOT_COST_MAX * sum(map(len, prompts))
    for grain in PILOT_GRAINS:
        drawn = _draw(list(_stretches(of_order, grain)), chance)
        ahead = sorted(drawn, key=lambda stretch: stretch.start)
        left = set(range(len(order))).difference(*ahead)
        piloted = [*(at for stretch in ahead for at in stretch), *sorted(left)]
        lost = sum(
            of_order[at] - _shared_bytes(prompts[order[before]], prompts[order[at]])
            for before, at in pairwise(piloted)
            if at != before + 1
        )
        if lost <= affordable:
            return [order[at] for at in piloted]
    return order


def _draw(stretches: list[range], chance: random.Random) -> list[range]:
    """At random, as many as have room in the pilot."""
    chance.shuffle(stretches)
    drawn: list[range] = []
    lines = 0
    for stretch in stretches:
        lines += len(stretch)
        if lines > PILOT_LINES_MAX:
            break
        drawn.append(stretch)
    return drawn


def _stretches(shared: Sequence[int], grain: int) -> Iterator[range]:
    """The places of an order in stretches of at least `grain` lines, ended where least is torn: where a line shares
    less with the one before than those within do; or else at four times the grain."""
    start, least = 0, COMPARED_BYTES_MAX
    for at in range(1, len(shared)):
        lines, with_last = at - start, shared[at]
        is_seam = with_last == 0 or with_last < least
        if lines >= 4 * grain or (lines >= grain and (is_seam or grain == 1)):
            yield range(start, at)
            start, least = at, COMPARED_BYTES_MAX
        else:
            least = min(least, with_last)
    if shared:
        yield range(start, len(shared))
