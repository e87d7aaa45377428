"""What earlier attempts at a shard have finished: their checkpoints, and the result objects of one that wrote them and
whose report was lost. Whoever takes the shard over reads both, so no line is generated twice."""

from __future__ import annotations

import re
from collections.abc import Iterator

from offpeak.core.ports import Reader
from offpeak.core.request_line import FinishedLine
from offpeak.wire.checkpoints import RECORD_BYTES_MAX, decode_records
from offpeak.wire.jsonl import split_lines
from offpeak.wire.results import line_number, read_routed

_RESULTS = re.compile(r"[0-9]{4,}/(output|errors)\.jsonl")


def finished_objects(
    reader: Reader, work_prefix: str
) -> Iterator[tuple[str, Iterator[FinishedLine]]]:
    """Each object's key and its lines, in the order of keys. Of a line that is in several the first is to be taken.

    Reading an object raises ValueError when it is broken.
    """
    for info in reader.list(work_prefix):
        name = info.key.removeprefix(work_prefix)
        if name.startswith("checkpoints/"):
            yield info.key, decode_records(reader.stream(info.key))
        elif _RESULTS.fullmatch(name):
            yield info.key, _results(reader, info.key, is_output=name.endswith("output.jsonl"))


def _results(reader: Reader, key: str, *, is_output: bool) -> Iterator[FinishedLine]:
    """Those that an engine has answered. Others got an error from whoever gave up: that is for the next one to say."""
    for start, _, line in split_lines(reader.stream(key), line_bytes_max=RECORD_BYTES_MAX):
        if line is None:
            raise ValueError(f"The result at byte {start} is over {RECORD_BYTES_MAX} bytes.")
        routed = read_routed(line)
        if routed.was_answered:
            yield FinishedLine(
                number=line_number(line), kind="output" if is_output else "error",
                result=line + b"\n", usage=routed.usage,
            )  # fmt: skip
