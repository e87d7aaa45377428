"""A request line that was checked is read as it came, and one that we write is a good one."""

import pytest

from offpeak.core.catalogue import Catalogue, Model
from offpeak.wire.jsonl import LINE_BYTES_MAX
from offpeak.wire.line_checker import GoodLine, LineChecker
from offpeak.wire.request_lines import (
    read_account_id,
    read_custom_id,
    read_line,
    render_request_line,
)

CHAT = "/v1/chat/completions"
TINY = Model(id="tiny", pool="tiny", source="s", context_tokens=8_192, endpoints=(CHAT,))


def test_a_checked_line_is_read_with_its_body_untouched() -> None:
    body = b'{ "model":"small",  "messages":[{}], "x":1e999 }'
    line = b'{"custom_id":1,"custom_id":"\\u00e9","method":"POST","url":"/v1/chat/completions","body":%b}'
    read = read_line(line % body, 3)
    assert (read.number, read.custom_id, read.model) == (3, "é", "small")
    assert read.body == body


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b'{"custom_id":"a","url":"u","body":{}}'])
def test_reading_a_line_that_was_never_checked_raises(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_line(line, 3)


def test_a_line_that_we_write_says_whose_it_is_and_is_a_good_line() -> None:
    body = b'{"model":"tiny","messages":[{"role":"user","content":"hi"}]}'
    line = render_request_line("req_1", CHAT, body, "acct_1")
    assert read_account_id(line) == "acct_1"
    assert read_account_id(render_request_line("req_1", CHAT, body)) is None
    assert read_custom_id(line) == "req_1"
    assert read_line(line, 1).body == body
    assert isinstance(
        LineChecker(CHAT, Catalogue((TINY,)), LINE_BYTES_MAX).check(line, 1), GoodLine
    )
