"""The door's routes, and what surrounds each request: an id, one line in the log, an envelope for what goes wrong."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from containers.door.answers import fault
from containers.door.passing import Passing
from containers.door.ports import DoorPorts
from containers.door.settings import DoorSettings
from containers.door.uploads import Uploads

logger = logging.getLogger(__name__)
HEALTH_PATH = "/healthz"
PATH_CHARACTERS_MAX = 200
FORM = "multipart/form-data"


def create_app(ports: DoorPorts, settings: DoorSettings) -> ASGIApp:
    uploads = Uploads(ports, settings)
    passing = Passing(settings)

    @asynccontextmanager
    async def lifespan(_: ASGIApp) -> AsyncIterator[None]:
        yield
        await passing.close()
        await uploads.close()

    async def healthy(_: Request) -> Response:
        return Response("ok", media_type="text/plain")

    routes = [
        Route(HEALTH_PATH, healthy, methods=["GET"]),
        Route("/v1/files", Forms(uploads.post_file, passing)),
        Route("/v1/uploads/{upload_id}/parts", Forms(uploads.post_part, passing)),
        Route("/{path:path}", passing),
    ]
    return Logged(Router(routes=routes, lifespan=lifespan))


class Forms:
    """A POST of a form is the door's; any other method, and a body that is no form, isn't."""

    def __init__(self, take: Callable[[Request], Awaitable[Response]], passing: Passing) -> None:
        self._take = take
        self._passing = passing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.method != "POST" or kind != FORM:
            await self._passing(scope, receive, send)
            return
        response = await self._take(request)
        await response(scope, receive, send)


class Logged:
    """One line for each request: no query, no header, no body, for those are keys and prompts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid.uuid4())
        started = perf_counter()
        status = 0

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                names = {name for name, _ in message["headers"]}
                if b"x-request-id" not in names:
                    own = (b"x-request-id", request_id.encode())
                    message = {**message, "headers": [*message["headers"], own]}
            await send(message)

        try:
            await self._app(scope, receive, told)
        except Exception:
            logger.exception("unexpected: request %s", request_id)
            if status:
                raise  # too late for words: the connection breaks off
            await fault(request_id)(scope, receive, told)
        finally:
            if scope["path"] != HEALTH_PATH:
                line = {
                    "request_id": request_id,
                    "method": scope["method"],
                    "path": scope["path"][:PATH_CHARACTERS_MAX],
                    "status": status,
                    "milliseconds": round((perf_counter() - started) * 1_000),
                }
                logger.info("%s", json.dumps(line))
