"""The digest of an image, from a registry that anybody may read: the distribution specification's API, with the token
that such a registry gives to whoever asks.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import httpx

from offpeak.cli.base_images import MANIFESTS
from offpeak.cli.errors import CliError
from offpeak.core.base_image import BaseImage

MANIFEST_BYTES_MAX = 4 * 2**20
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


def public_digest(image: BaseImage, client: httpx.Client) -> str:
    """The digest of what the image's tag names now: of the bytes that came, and not only what a header says. Raises
    CliError."""
    name = image.repository.partition("/")[2]
    url = f"https://{image.registry}/v2/{name}/manifests/{image.tag}"
    headers = {"Accept": ", ".join(MANIFESTS)}
    try:
        answer = client.get(url, headers=headers)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            token = _token(answer.headers.get("WWW-Authenticate", ""), name, client)
            answer = client.get(url, headers={**headers, "Authorization": f"Bearer {token}"})
    except httpx.HTTPError as error:
        raise CliError(f"The registry {image.registry} can't be asked: {error}") from None
    if answer.status_code != httpx.codes.OK:
        raise CliError(f"The registry has no {image.reference}: it answered {answer.status_code}.")
    return _digest(answer, image)


def _digest(answer: httpx.Response, image: BaseImage) -> str:
    body = answer.content
    if len(body) > MANIFEST_BYTES_MAX:
        raise CliError(f"What the registry has as {image.reference} is no manifest: too large.")
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    said = answer.headers.get("Docker-Content-Digest", digest)
    if said != digest:
        raise CliError(
            f"The registry says that {image.reference} is {said}, and sent bytes of {digest}."
        )
    return digest


def _token(challenge: str, name: str, client: httpx.Client) -> str:
    """An anonymous one. Raises CliError for a registry that wants more."""
    asked: Mapping[str, str] = dict(_CHALLENGE.findall(challenge))
    realm = asked.get("realm", "")
    if not challenge.lower().startswith("bearer ") or not realm.startswith("https://"):
        raise CliError(f"The registry wants a login that isn't known here: {challenge[:200]!r}.")
    parameters = {"scope": f"repository:{name}:pull"}
    if "service" in asked:
        parameters["service"] = asked["service"]
    answer = client.get(realm, params=parameters)
    try:
        given = answer.json()
        return str(given.get("token") or given["access_token"])
    except (ValueError, KeyError, AttributeError):
        raise CliError(f"{realm} gave no token: it answered {answer.status_code}.") from None
