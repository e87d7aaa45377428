"""A merge takes lines that rise."""

import pytest

from offpeak.core.errors import StateConflict
from offpeak.core.shard import ResultObject
from offpeak.steps.merge_results import merge_results, read_results
from offpeak.steps.streamed_object import StreamedObject
from tests.steps.ward import Ward


def _objects(ward: Ward, *numbers: int) -> list[ResultObject]:
    body = b"".join(b'{"id":"batch_req_1_%d"}\n' % number for number in numbers)
    info = ward.writer.put(f"o{numbers}", body)
    return [ResultObject(key=info.key, bytes=info.bytes, lines=len(numbers))]


@pytest.mark.parametrize(("one", "other"), [((1, 2), (2, 3)), ((2, 1), (3,))])
def test_a_merge_refuses_lines_that_come_twice_or_out_of_order(
    one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    ward = Ward(lines=1)
    streams = [read_results(_objects(ward, *numbers), ward.reader) for numbers in (one, other)]
    target = StreamedObject("t", writer=ward.writer, multipart=ward.multipart)
    with pytest.raises(StateConflict, match="comes after line"):
        merge_results(streams, target)
