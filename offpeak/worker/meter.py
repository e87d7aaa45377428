"""What an attempt takes of the engine: its counters at the attempt's start, held against those at its end."""

from __future__ import annotations

from collections.abc import Mapping

from offpeak.core.invocation import ShardWork
from offpeak.core.usage import Usage
from offpeak.worker.engine import Engine


class Meter:
    """Times are the event loop's, in seconds."""

    def __init__(self, engine: Engine, now: float) -> None:
        self._engine = engine
        self._before = dict(engine.stats())
        self._started = now

    def read(
        self, now: float, usage: Usage, first_admitted: float | None, last_admitted: float | None
    ) -> ShardWork:
        seconds = max(now - self._started, 1e-6)
        after = self._engine.stats()
        return ShardWork(
            usage=usage,
            tokens_per_second=round(usage.total_tokens / seconds, 1),
            cache_hit_rate=round(usage.cached_tokens / max(1, usage.input_tokens), 4),
            load_seconds=round((now if first_admitted is None else first_admitted) - self._started, 3),
            drain_seconds=round(now - (now if last_admitted is None else last_admitted), 3),
            occupancy=self._occupancy(after, seconds),
            queued_seconds=self._queued_seconds(after),
        )  # fmt: skip

    def generated_tokens(self, finished: int, worked: int, usage: Usage) -> int:
        """Output tokens of a shard's `finished` lines and of its running ones, if its answers are as those are that the
        engine gave meanwhile: (tokens of finished and of running answers) / finished, times `finished`. Of an engine
        that doesn't count them, by the `worked` lines' own `usage`, without the running ones."""
        after = self._engine.stats()
        ended, generated = (
            self._moved(after, "finished_requests"),
            self._moved(after, "generated_tokens"),
        )
        if not ended or not generated:
            ended, generated = worked, usage.output_tokens
        return round(finished * generated / ended) if ended else 0

    def _occupancy(self, after: Mapping[str, int], seconds: float) -> float | None:
        sequences = self._engine.limits.sequences
        if sequences is None:
            return None
        return round(min(1.0, self._moved(after, "running_ms") / 1_000 / seconds / sequences), 4)

    def _queued_seconds(self, after: Mapping[str, int]) -> float | None:
        if "queued_ms" not in after:
            return None
        finished = self._moved(after, "finished_requests")
        return round(self._moved(after, "queued_ms") / 1_000 / max(1, finished), 3)

    def _moved(self, after: Mapping[str, int], name: str) -> int:
        return after.get(name, 0) - self._before.get(name, 0)
