"""The API against callers who mean it ill, or don't know what they send: driven by its own description
(schemathesis), and past it. Whatever comes is answered in words, within what the description says, and never by a 5xx.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from lambdas.api.app import routes_of
from lambdas.api.openapi import describe
from tests.lambdas.api.client import Answer, Client, World
from tests.lambdas.api.neighbours import Holdings, settle

EXAMPLES = 6
"""Of each route, in each of two modes: what fits the description, and what doesn't."""
OPERATIONS: Mapping[str, Any] = {
    found.ok().label: found.ok()
    for found in schemathesis.openapi.from_dict(describe(routes_of(World()))).get_all_operations()
    if isinstance(found, Ok)
}
BOUNDED = settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@cache
def inhabited() -> tuple[Client, Holdings]:
    """An API with an account that has one of everything. Calls change it, and that may be: each must bear it."""
    world = World()
    return Client(world), settle(world, "alice")


def test_the_description_has_every_route() -> None:
    paths = [(each.method, re.sub(r"<(\w+)>", r"{\1}", each.rule)) for each in routes_of(World())]
    assert set(OPERATIONS) == {f"{method} {path}" for method, path in paths}


def _modes() -> Iterator[tuple[str, GenerationMode]]:
    """Where a route takes nothing, nothing can be wrong about it."""
    for label, operation in sorted(OPERATIONS.items()):
        yield label, GenerationMode.POSITIVE
        if operation.body or any(True for _ in operation.iter_parameters()):
            yield label, GenerationMode.NEGATIVE


@pytest.mark.parametrize(("label", "mode"), list(_modes()))
def test_no_request_that_the_description_can_say_is_answered_by_a_fault(
    label: str, mode: GenerationMode
) -> None:
    client, holdings = inhabited()
    ids = st.none() | st.sampled_from(sorted(holdings.ids.values()))

    @BOUNDED
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode), own=ids)
    def drive(case: Case[Any], own: str | None) -> None:
        if own is not None and isinstance(case.path_parameters, dict):
            case.path_parameters = dict.fromkeys(case.path_parameters, own)
        answer = sent(client, case)
        assert answer.status < 500, answer.text
        assert answer.status not in {401, 403, 429}, answer.text
        if answer.status >= 400:
            assert said(answer)

    drive()


def sent(client: Client, case: Case[Any]) -> Answer:
    """As it would come through API Gateway."""
    asked = requests.Request(**case.as_transport_kwargs(base_url="http://api.test")).prepare()
    body = asked.body.encode() if isinstance(asked.body, str) else asked.body or b""
    headers = {
        name: value for name, value in asked.headers.items() if name.lower() != "authorization"
    }
    path, _, query = (asked.url or "").removeprefix("http://api.test").partition("?")
    pairs = [each.partition("=") for each in query.split("&") if each]
    parameters = {unquote(name): unquote(value) for name, _, value in pairs}
    return client.send(asked.method or "GET", unquote(path), body, parameters, **headers)


def said(answer: Answer) -> str:
    """The sentence of an error."""
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    message: str = error["message"]
    return message


# ── past the description ─────────────────────────────────────────────────────────────────────────────────────────────

READING = sorted(label for label in OPERATIONS if re.match("GET /(v1|together|api)", label))
WRITING = sorted(label for label in OPERATIONS if label.startswith("POST"))
DEEP = 100_000
BAD_JSON = [
    b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"\xef\xbb\xbf{}", b"\x00", b"{}{}", b"{} x",
    b"[" * DEEP, b'{"a":' * DEEP, b'{"requests_ids":' + b"[" * DEEP, b'{"a":1e999}', b'{"a":NaN}',
    b'{"a":Infinity}', b'{"bytes":' + b"9" * 5_000 + b"}", b'{"bytes":-0.0}', b'{"bytes":1e400}',
    b'{"a":"\\ud800"}', b'{"\\ud800":1}', b'{"requests_ids":["\\ud800"]}', b'{"requests_ids":["\\u0000"]}',
    b'{"filename":"\\u202egpj.exe","purpose":"batch","bytes":1}', b'{"a":1,"a":2}',
    b'{"filename":"a","filename":"b","purpose":"batch","bytes":1}', b'{"a":"' + b"x" * 200_000 + b'"}',
    b"{" + b",".join(b'"k%d":1' % n for n in range(5_000)) + b"}",
    b'{"request_body":{"model":"\\ud800"}}', b'{"request_body":' + b'{"a":' * 150 + b"1" + b"}" * 150 + b"}",
    b'{"metadata":{"\\u0000":"\\u202e"},"input_file_id":"x","endpoint":"/v1/chat/completions","completion_window":"24h"}',
    b'{"text_data":"\\u0000","callback_url":"https://\\ud800.com","metadata":{"a":"\\ud800"}}',
]  # fmt: skip


@pytest.mark.parametrize("label", WRITING)
def test_a_body_that_is_no_request_is_refused_in_words(label: str) -> None:
    client, _ = inhabited()
    path = re.sub(r"{\w+}", "file-0", label.partition(" ")[2])
    for body in BAD_JSON:
        answer = client.send("POST", path, body, content_type="application/json")
        assert answer.status < 500, (body[:80], answer.text)
        if answer.status >= 400:
            assert len(said(answer)) < 1_000


@pytest.mark.parametrize("label", WRITING)
def test_bytes_of_any_kind_under_any_name_are_no_fault(label: str) -> None:
    client, holdings = inhabited()
    path = re.sub(r"{\w+}", lambda _: holdings.ids["upload"], label.partition(" ")[2])
    kinds = st.sampled_from(
        ["application/json", "multipart/form-data", "multipart/form-data; boundary=b", "text/plain",
         "application/x-www-form-urlencoded", "multipart/form-data; boundary=\u00fc", ";;;", "\x00"]
    )  # fmt: skip
    encodings = st.sampled_from(["", "gzip", "deflate", "br", "identity", "x" * 5_000])

    @BOUNDED
    @given(body=st.binary(max_size=300), kind=kinds, encoding=encodings, key=st.text(max_size=300))
    def drive(body: bytes, kind: str, encoding: str, key: str) -> None:
        answer = client.send(
            "POST", path, body, content_type=kind, content_encoding=encoding, idempotency_key=key
        )
        assert answer.status < 500, answer.text

    drive()


@pytest.mark.parametrize("label", READING)
def test_a_query_of_any_kind_is_no_fault(label: str) -> None:
    client, holdings = inhabited()
    path = re.sub(r"{\w+}", lambda _: holdings.ids["ended batch"], label.partition(" ")[2])
    names = st.sampled_from(
        ["after", "limit", "order", "purpose", "kind", "page", "start_time", "end_time", "group_by", "bucket_width"]
    )  # fmt: skip
    values = st.text(max_size=200) | st.sampled_from(
        ["9" * 400, "-1", "0", "1e5", "\x00", "\ud800", "\u202e", "٣", "²", "a,b,c" * 100, "[]"]
    )

    @settings(BOUNDED, max_examples=15)
    @given(query=st.dictionaries(names, values, max_size=4))
    def drive(query: dict[str, str]) -> None:
        answer = client.send("GET", path, b"", query)
        assert answer.status < 500, (query, answer.text)

    drive()


@pytest.mark.parametrize("key", ["\ud800", "\x00", "sk-" + "\u202e" * 50, "\udfff" * 200, " "])
def test_a_key_of_any_kind_is_an_unknown_key(client: Client, key: str) -> None:
    for headers in ({"authorization": f"Bearer {key}"}, {"authorization": "", "x_api_key": key}):
        client.send("GET", "/v1/models", **headers).error(401, "invalid_api_key")


@pytest.mark.parametrize(
    "text", ["\x00", "\ud800", "\u202e", "%00", "..", "a\r\nSet-Cookie: x", "<script>"]
)
def test_no_path_is_a_fault_and_none_is_told_back_as_anything_but_json(
    client: Client, text: str
) -> None:
    for path in (
        f"/{text}",
        f"/v1/files/{text}",
        f"/v1/models/{text}",
        f"/v1/batches/{text}/cancel",
    ):
        for method in ("GET", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"):
            answer = client.send(method, path)
            assert 400 <= answer.status < 500
            assert answer.headers["content-type"] == "application/json"
            assert not [value for value in answer.headers.values() if {"\r", "\n"} & set(value)]
            if method != "HEAD":
                json.loads(answer.text)


def test_a_packed_body_is_not_unpacked(client: Client) -> None:
    """`Content-Encoding` has no meaning here: what is sent is what is read, so no body grows on its way in."""
    body = b'{"filename": "a", "purpose": "batch", "bytes": 1}'
    plain = client.send(
        "POST", "/v1/files", body, content_type="application/json", content_encoding="gzip"
    )
    assert plain.status == 200
    import gzip

    packed = gzip.compress(body)
    answer = client.send(
        "POST", "/v1/files", packed, content_type="application/json", content_encoding="gzip"
    )
    answer.error(400, "invalid_json")
