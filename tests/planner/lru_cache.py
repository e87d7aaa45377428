"""An engine's prefix cache, exactly: blocks of text, found by all that comes before them, the oldest going first.

The oracle of estimates and of orders: slow, and right by its shortness.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable


def cached_bytes(prompts: Iterable[bytes], *, cache_bytes: int, block_bytes: int = 64) -> int:
    """How many bytes of these prompts, read one after the other, the cache has when they come. It holds at least the
    prompt that is being read."""
    blocks: OrderedDict[bytes, None] = OrderedDict()
    room = cache_bytes // block_bytes
    cached = 0
    for prompt in prompts:
        stops = range(block_bytes, len(prompt) + 1, block_bytes)
        for stop in stops:
            if prompt[:stop] not in blocks:
                break
            cached += block_bytes
        # The last block of a chain is the first to go: without it the others are still worth something.
        for stop in reversed(stops):
            blocks[prompt[:stop]] = None
            blocks.move_to_end(prompt[:stop])
        while len(blocks) > max(room, len(stops)):
            blocks.popitem(last=False)
    return cached
