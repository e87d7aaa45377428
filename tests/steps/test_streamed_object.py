import pytest

from offpeak.core.errors import NotFound
from offpeak.memory.memory import Memory
from offpeak.steps.streamed_object import StreamedObject

PART = 5 * 2**20


def _stream(memory: Memory) -> StreamedObject:
    return StreamedObject("k", writer=memory.writer, multipart=memory.multipart, part_bytes=PART)


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 7])
def test_an_object_of_any_size_is_what_was_written(size: int) -> None:
    memory = Memory()
    piece = bytes(range(256)) * 4_000
    written = bytearray()
    with _stream(memory) as stored:
        while len(written) < size:
            stored.write(piece[: size - len(written)])
            written += piece[: size - len(written)]
        info = stored.close()
    assert info.bytes == stored.bytes == size
    assert memory.reader.read("k") == bytes(written)
    assert memory.multipart.open_ids == ()


@pytest.mark.parametrize("size", [1, 2 * PART])
def test_a_fault_leaves_no_object_and_no_parts(size: int) -> None:
    memory = Memory()

    def write_and_fail() -> None:
        with _stream(memory) as stored:
            stored.write(b"x" * size)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert memory.multipart.open_ids == ()
    with pytest.raises(NotFound):
        memory.reader.head("k")
