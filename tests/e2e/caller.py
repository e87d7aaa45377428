"""Somebody who calls the API: an account of their own and a key."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
from openai import OpenAI

from tests.described import Described


@cache
def description(base_url: str) -> Described:
    """What a deployment says of itself, without a key."""
    return Described(httpx.get(f"{base_url}/openapi.json", timeout=30.0).raise_for_status().json())


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    base_url: str
    account_id: str
    key_id: str
    api_key: str = field(repr=False)

    def sdk(self) -> OpenAI:
        return OpenAI(base_url=f"{self.base_url}/v1", api_key=self.api_key, timeout=30.0)

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        """One call without an SDK: what it would never send, and every header of the answer."""
        headers = {"Authorization": f"Bearer {self.api_key}", **request.pop("headers", {})}
        url = f"{self.base_url}/v1{path}"
        answer = httpx.request(method, url, headers=headers, timeout=30.0, **request)
        description(self.base_url).check(
            method,
            answer.request.url.path,
            answer.status_code,
            answer.headers.get("content-type", ""),
            answer.text,
        )
        return answer
