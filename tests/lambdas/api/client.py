"""The API driven as API Gateway drives it: proxy events in, proxy answers out, over ports in memory."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from lambdas.api.app import build_app, routes_of
from lambdas.api.openapi import describe
from offpeak.core.account import Account, ApiKey, Limits
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.ports import Add
from offpeak.memory.memory import Memory
from tests.described import Described
from tests.e2e.schemas import assert_fits

BOUNDARY = "b0undary"
CATALOGUE = Catalogue(
    (
        Model(
            id="acme/chat-8b",
            pool="chat",
            source="hub",
            endpoints=("/v1/chat/completions", "/v1/completions"),
            context_tokens=8_192,
            aliases=("chat",),
        ),
        Model(
            id="embed",
            pool="embed",
            source="hub",
            endpoints=("/v1/embeddings",),
            context_tokens=512,
        ),
    )
)


@dataclass(frozen=True)
class Field:
    """One part of a form."""

    name: str
    value: bytes
    filename: str | None = None


def form(fields: Iterable[Field]) -> bytes:
    parts = []
    for field in fields:
        filename = "" if field.filename is None else f'; filename="{field.filename}"'
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field.name}"{filename}\r\n'
        parts.append(head.encode() + b"\r\n" + field.value + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


class World(Memory):
    """Two accounts with a key each: `sk-alice` and `sk-bob`."""

    catalogue = CATALOGUE

    def __init__(self) -> None:
        super().__init__()
        for name in ("alice", "bob"):
            self.add_account(name)

    def add_account(self, name: str, limits: Limits | None = None) -> None:
        account = Account(id=f"acct_{name}", name=name, created_at=0, limits=limits or Limits())
        self.changes.commit(Add(account))
        self.add_key(name, account_id=account.id)

    def add_key(self, name: str, **fields: Any) -> None:
        """`sk-name`, of Alice's account unless another is given."""
        key = ApiKey(
            hash=self.key_hashes.hash_key(f"sk-{name}"), id=f"key_{name}", account_id="acct_alice",
            name="test", last4="test", created_at=0,
        )  # fmt: skip
        self.changes.commit(Add(replace(key, **fields)))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    def ok(self, schema: str) -> Any:
        """The body of a 200, which fits its schema of OpenAI's specification."""
        assert self.status == 200, self.text
        assert_fits(self.json, schema)
        return self.json

    def error(self, status: int, code: str) -> Any:
        """The error of an answer, in its envelope."""
        assert self.status == status, self.text
        assert_fits(self.json, "ErrorResponse")
        assert self.json["error"]["code"] == code, self.text
        return self.json["error"]


@cache
def description() -> Described:
    """What the API says of itself; every answer is held against it."""
    return Described(describe(routes_of(World())))


class Client:
    def __init__(self, world: World, secret: str = "sk-alice") -> None:
        self.world = world
        self.secret = secret
        self._app = build_app(world)

    def as_(self, name: str) -> Client:
        """Another account's client of the same API."""
        other = Client(self.world, f"sk-{name}")
        other._app = self._app
        return other

    def send(
        self, method: str, path: str, body: bytes = b"", query: Mapping[str, str] | None = None,
        /, **headers: str,
    ) -> Answer:  # fmt: skip
        """`headers` by their names with underscores; `authorization` is the key's unless given."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        keyed = any(name.lower() == "authorization" for name in named)
        sent = named if keyed else {"Authorization": f"Bearer {self.secret}", **named}
        event = {
            "resource": "/{proxy+}",
            "path": path,
            "httpMethod": method,
            "headers": {name: value for name, value in sent.items() if value},
            "queryStringParameters": dict(query) if query else None,
            "requestContext": {"requestId": "request-1", "stage": "v1"},
            "body": base64.b64encode(body).decode() if body else None,
            "isBase64Encoded": bool(body),
        }
        answer = self._app(event, None)
        names = {n.lower(): values[-1] for n, values in answer["multiValueHeaders"].items()}
        assert names["x-request-id"] == "request-1"
        if method != "HEAD":
            content_type = names.get("content-type", "")
            description().check(method, path, answer["statusCode"], content_type, answer["body"])
        return Answer(answer["statusCode"], names, answer["body"])

    def get(self, path: str, **query: str) -> Answer:
        return self.send("GET", path, b"", query)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        raw = b"" if body is None else json.dumps(body).encode()
        return self.send("POST", path, raw, **{"content_type": "application/json", **headers})

    def post_form(self, path: str, *fields: Field, **headers: str) -> Answer:
        content_type = f"multipart/form-data; boundary={BOUNDARY}"
        return self.send("POST", path, form(fields), content_type=content_type, **headers)

    def delete(self, path: str) -> Answer:
        return self.send("DELETE", path, content_type="application/json")

    def upload(self, body: bytes = b"{}\n", filename: str = "in.jsonl", **headers: str) -> Any:
        return self.post_form(
            "/v1/files", Field("purpose", b"batch"), Field("file", body, filename), **headers
        ).ok("OpenAIFile")

    def create_batch(self, file_id: str, **more: Any) -> Answer:
        headers = more.pop("headers", {})
        body = {
            "input_file_id": file_id, "endpoint": "/v1/chat/completions",
            "completion_window": "24h", **more,
        }  # fmt: skip
        return self.post("/v1/batches", body, **headers)
