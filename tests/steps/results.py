"""A batch's result objects over the ports in memory, and the calls that put them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from offpeak.core.batch import Batch
from offpeak.core.ports import Add, ObjectInfo
from offpeak.core.shard import ResultObject
from offpeak.memory.memory import Memory
from offpeak.planner.cut_results import AssemblyLimits
from offpeak.steps.assemble_results import assemble_results
from offpeak.steps.result_chunks import ChunkPlace
from offpeak.steps.result_file import ResultFile, Results
from offpeak.wire.results import render_response
from tests.steps.simulation import IN_CHUNKS

BATCH = Batch(
    id="batch_1", account_id="acct_1", input_file_id="file-1", input_key="files/acct_1/file-1",
    input_bytes=1, endpoint="/v1/completions", completion_window="24h", created_at=0,
    expires_at=86_400,
)  # fmt: skip


def result(line: int) -> bytes:
    """Of a length that depends on the line."""
    return render_response(
        batch_id=BATCH.id, line=line, custom_id=f"c{line}", status_code=200,
        body=b'"%b"' % (b"x" * (line * 37 % 90)),
    )  # fmt: skip


class World(Memory):
    def __init__(self, limits: AssemblyLimits = IN_CHUNKS) -> None:
        super().__init__()
        self.limits = limits
        self.multipart.part_bytes_min = limits.part_bytes_min
        self.changes.commit(Add(BATCH))

    def sources(self, shards: Sequence[Sequence[int]]) -> list[ResultObject]:
        found = []
        for number, lines in enumerate(shards):
            body = b"".join(map(result, lines))
            info = self.writer.put(f"work/batch_1/0/{number:06}/0001/output.jsonl", body)
            found.append(ResultObject(key=info.key, bytes=info.bytes, lines=len(lines)))
        return found

    def file(self) -> ResultFile:
        return ResultFile(
            BATCH, "output", reader=self.reader, writer=self.writer, multipart=self.multipart,
            limits=self.limits,
        )  # fmt: skip

    def assemble(self, chunk: ChunkPlace) -> None:
        assemble_results(
            "acct_1", "batch_1", *astuple(chunk), batches=self.batches, reader=self.reader,
            writer=self.writer, multipart=self.multipart, assembly_limits=self.limits,
        )  # fmt: skip

    def put(self, results: Results) -> tuple[ObjectInfo | None, int]:
        """The file, and the chunks that it took."""
        chunks = 0
        while undone := self.file().undone(results):
            chunks += len(undone)
            for chunk in undone:
                self.assemble(chunk)
        return self.file().put(results), chunks


def overlapping(sources: list[ResultObject], refused: int = 0) -> Results:
    lines = sum(source.lines for source in sources) + refused
    return Results(
        sources=sources, of_runs=[sources], are_apart=False, in_order=False, refused=refused,
        lines=lines,
    )  # fmt: skip


def apart(sources: list[ResultObject]) -> Results:
    lines = sum(source.lines for source in sources)
    return Results(
        sources=sources, of_runs=[sources], are_apart=True, in_order=True, refused=0, lines=lines
    )
