import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.wire.results import line_number, render_error, render_response, to_ascii_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def _rendered(body: bytes) -> bytes:
    return render_response(
        batch_id="batch_0193abc", line=7, custom_id="a", status_code=200, body=body
    )


def test_a_response_is_openais_output_line() -> None:
    assert json.loads(_rendered(b'{"id":"chatcmpl-1"}')) == {
        "id": "batch_req_0193abc_7",
        "custom_id": "a",
        "response": {
            "status_code": 200,
            "request_id": "req_0193abc_7",
            "body": {"id": "chatcmpl-1"},
        },
        "error": None,
    }


def test_a_line_that_never_ran_has_an_error_and_no_response() -> None:
    line = render_error(
        batch_id="batch_0193abc", line=7, custom_id="ü", code="batch_expired", message="Too late."
    )
    assert json.loads(line) == {
        "id": "batch_req_0193abc_7",
        "custom_id": "ü",
        "response": None,
        "error": {"code": "batch_expired", "message": "Too late."},
    }
    assert line.isascii()


@given(JSON, st.booleans(), st.sampled_from([None, 2]))
def test_a_body_keeps_its_value_on_one_ascii_line(
    value: object, ascii_already: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_already, indent=indent)
    line = _rendered(text.encode("utf-8", "surrogatepass"))
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line)["response"]["body"] == value


@pytest.mark.parametrize(
    ("body", "escaped"),
    [
        ('"\u2028"'.encode(), rb'"\u2028"'),
        ('"😀é"'.encode(), rb'"\ud83d\ude00\u00e9"'),
        ('"\ud800"'.encode("utf-8", "surrogatepass"), rb'"\ud800"'),
        (rb'"\ud800 already escaped"', rb'"\ud800 already escaped"'),
        (b'{"logprob": NaN, "a": "\n"}'.replace(b"\n", rb"\n"), rb'{"logprob":null,"a":"\n"}'),
    ],
)
def test_line_separators_and_surrogates_are_escaped(body: bytes, escaped: bytes) -> None:
    assert to_ascii_json(body) == escaped


@pytest.mark.parametrize(
    "body", [b"", b"<html>502</html>", b'{"cut":', b'"\xff"', b"[" * 20_000, b"'1'", b"{}\n{}"]
)
def test_a_body_that_is_no_json_becomes_a_string(body: bytes) -> None:
    assert json.loads(_rendered(body))["response"]["body"] == body.decode("utf-8", "replace")


@pytest.mark.parametrize("custom_id", ["c", 'x"_7"', None])
def test_a_result_line_tells_which_line_it_answers(custom_id: str | None) -> None:
    line = render_error(
        batch_id="batch_0193_a", line=5_000_000, custom_id=custom_id, code="c", message="m_9"
    )
    assert line_number(line) == 5_000_000


@pytest.mark.parametrize("line", [b"", b"{}", b'{"custom_id":"batch_req_1_2"}'])
def test_what_is_no_result_line_answers_none(line: bytes) -> None:
    with pytest.raises(ValueError, match="no result line"):
        line_number(line)
