"""Where the API is and which key opens it: options, else the environment, else a running `make up`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from offpeak.cli.errors import UsageError

LOCAL_FILE = Path(".offpeak/local.json")
HOW_TO_SET = "Give --base-url and --api-key, set OFFPEAK_BASE_URL and OFFPEAK_API_KEY, or run `make up` here."

BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url", envvar="OFFPEAK_BASE_URL", help="The API's root, with or without /v1."
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="OFFPEAK_API_KEY",
        help="A key made by `offpeak keys create`.",
        show_envvar=True,
    ),
]


@dataclass(frozen=True, slots=True)
class Settings:
    """`base_url` is the root, without `/v1` and without a slash at its end."""

    base_url: str
    api_key: str


def read_settings(base_url: str | None, api_key: str | None) -> Settings:
    """What was given, completed from the local cloud's file. A local key is never sent to another host.

    Raises UsageError when the address or the key is missing or can't be one.
    """
    local = read_local()
    url = _root(base_url or local.get("base_url") or "")
    is_local = url == _root(local.get("base_url") or "")
    key = api_key or (local.get("api_key") if is_local else None)
    if not url:
        raise UsageError(f"Which deployment? No base URL is set. {HOW_TO_SET}")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise UsageError(f"The base URL {url!r} is no http(s) address. {HOW_TO_SET}")
    if not key:
        raise UsageError(f"No API key is set for {url}. {HOW_TO_SET}")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(
            "The API key holds characters that no key has; it may be cut or quoted twice."
        )
    return Settings(url, key)


def read_local() -> Mapping[str, Any]:
    """What a running `make up` wrote in this folder; empty when none runs."""
    try:
        found = json.loads(LOCAL_FILE.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{LOCAL_FILE} can't be read ({error}); run `make up` again.") from None
    return found if isinstance(found, dict) else {}


def _root(url: str) -> str:
    return url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
