"""Ports are synchronous: the worker calls them on threads, beside the engine's loop."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from offpeak.core.errors import Unavailable

logger = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


async def call(
    attempts_max: int, retry_seconds: float, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:  # fmt: skip
    """`function(…)` on a thread, again while it raises Unavailable. Only for calls that may be made twice."""
    for attempt in range(1, attempts_max):
        try:
            return await asyncio.to_thread(function, *args, **kwargs)
        except Unavailable as error:
            pause = retry_seconds * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
            logger.warning("a port is unavailable, again in %.1f s: %s", pause, error)
            await asyncio.sleep(pause)
    return await asyncio.to_thread(function, *args, **kwargs)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortCalls:
    """`call` with its patience settled."""

    attempts_max: int
    retry_seconds: float

    async def __call__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await call(self.attempts_max, self.retry_seconds, function, *args, **kwargs)
