"""`POST /v1/files` and `POST /v1/uploads/{id}/parts`, of any size: from the caller's socket to S3 in flat memory.

event loop                              a thread for each upload                  two threads for each upload
socket ──► uvicorn ──► Inflow ──pull──► form parser ──► ReceivedObject ──parts──► S3 multipart
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from containers.door.answers import Refusal
from containers.door.buffers import Buffers
from containers.door.forms import receive_form
from containers.door.inflow import Gone, Inflow
from containers.door.ports import DoorPorts
from containers.door.settings import DoorSettings
from offpeak.core.account import Account, Scope
from offpeak.core.errors import NotFound, OffpeakError
from offpeak.core.file import File, Upload
from offpeak.core.ids import FILE, PART, new_id
from offpeak.core.layout import file_key, part_key
from offpeak.steps.add_part import AddedPart, check_part_bytes, require_pending
from offpeak.steps.authenticate import Authentication, require_scope
from offpeak.steps.create_file import NewFile, check_file_bytes, check_purpose
from offpeak.steps.receive_file import receive_file
from offpeak.steps.receive_part import receive_part
from offpeak.steps.received_object import PARTS_AT_ONCE, ReceivedObject, part_bytes_for
from offpeak.wire.openai.bodies import parse_fields
from offpeak.wire.openai.form import AROUND_FILES_BYTES_MAX, read_form, unknown_parameter
from offpeak.wire.openai.objects import render_file, render_part

UPLOADS_AT_ONCE = 256
"""Threads at most; memory gives out before (`Buffers`)."""
ABORT_SECONDS_MAX = 15.0
ID_CHARACTERS_MAX = 128
CLIENT_CLOSED_REQUEST = 499

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a request says of its body before the body comes."""

    content_type: str | None
    idempotency_key: str | None
    announced: int | None

    @classmethod
    def of(cls, request: Request) -> Sent:
        length = request.headers.get("content-length", "")
        return cls(
            content_type=request.headers.get("content-type"),
            idempotency_key=request.headers.get("idempotency-key"),
            announced=int(length) if length.isdecimal() else None,
        )

    def size_max(self, limit: int) -> int:
        """The most bytes that a file in this body may have."""
        return limit if self.announced is None else min(self.announced, limit)

    @property
    def file_bytes_min(self) -> int:
        """What a file in this body has at the least, where the body is nothing but a form with one file."""
        return 0 if self.announced is None else max(0, self.announced - AROUND_FILES_BYTES_MAX)


class Uploads:
    def __init__(self, ports: DoorPorts, settings: DoorSettings) -> None:
        self._ports = ports
        self._stall_seconds = settings.stall_seconds
        self._authentication = Authentication(
            clock=ports.clock, accounts=ports.accounts, key_hashes=ports.key_hashes
        )
        self._buffers = Buffers(settings.bytes_held_max)
        self._executor = ThreadPoolExecutor(UPLOADS_AT_ONCE, thread_name_prefix="upload")

    async def close(self) -> None:
        """Waits for what is being given up, whose threads need this event loop."""
        await asyncio.to_thread(self._executor.shutdown, wait=True)

    async def post_file(self, request: Request) -> Response:
        async def receive(account: Account, sent: Sent, inflow: Inflow) -> Any:
            check_file_bytes(account, sent.file_bytes_min, at_least=True)
            size_max = sent.size_max(account.limits.file_bytes_max)
            take = partial(self._take_file, account, sent, size_max, inflow)
            return render_file(await self._run(take, inflow, size_max))

        return await self._answer(request, receive)

    async def post_part(self, request: Request) -> Response:
        upload_id = request.path_params["upload_id"]

        async def receive(account: Account, sent: Sent, inflow: Inflow) -> Any:
            upload = await asyncio.to_thread(self._find_upload, account, upload_id)
            check_part_bytes(upload, sent.file_bytes_min)
            size_max = sent.size_max(upload.bytes)
            take = partial(self._take_part, upload, sent, size_max, inflow)
            part = await self._run(take, inflow, size_max)
            return render_part(part.id, part.upload_id, part.created_at)

        return await self._answer(request, receive)

    async def _answer(self, request: Request, receive: Callable[..., Any]) -> Response:
        inflow = Inflow(request, stall_seconds=self._stall_seconds)
        try:
            headers = dict(request.headers.items())
            caller = await asyncio.to_thread(self._authentication.caller, headers)
            require_scope(caller, Scope.SUBMIT, f"{request.method} {request.url.path}")
            made = await receive(caller.account, Sent.of(request), inflow)
        except OffpeakError as error:
            return Refusal(error, inflow)
        except Gone:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        return Response(json.dumps(made), media_type="application/json")

    async def _run(self, take: Callable[[], Made], inflow: Inflow, size_max: int) -> Made:
        """`take` in a thread. When the request is cancelled, the thread is told, and is waited for while it gives up
        what it has sent to S3."""
        held = min(size_max, (PARTS_AT_ONCE + 1) * part_bytes_for(size_max))
        async with self._buffers.reserved(held):
            taking = asyncio.get_running_loop().run_in_executor(self._executor, take)
            try:
                return await asyncio.shield(taking)
            except asyncio.CancelledError:
                inflow.close()
                await asyncio.wait({taking}, timeout=ABORT_SECONDS_MAX)
                raise

    def _take_file(self, account: Account, sent: Sent, size_max: int, inflow: Inflow) -> File:
        ports = self._ports
        file_id = new_id(FILE, ports.clock.now())
        with self._received(file_id, file_key(account.id, file_id), sent, size_max) as received:
            form = receive_form(
                read_form(inflow, sent.content_type), "file", received,
                check_field=lambda name, value: check_purpose(value) if name == "purpose" else None,
                check_bytes=lambda size: check_file_bytes(account, size, at_least=True),
            )  # fmt: skip
            fields = parse_fields(form.fields, form.filename)
            expires_after = fields.expires_after
            new = NewFile(
                filename=fields.filename,
                purpose=fields.purpose,
                expires_after=None if expires_after is None else expires_after.seconds,
            )
            return receive_file(
                account, new, received, idempotency_key=sent.idempotency_key, clock=ports.clock,
                writer=ports.writer, changes=ports.changes, files=ports.files,
                idempotency=ports.idempotency,
            )  # fmt: skip

    def _take_part(self, upload: Upload, sent: Sent, size_max: int, inflow: Inflow) -> AddedPart:
        ports = self._ports
        part_id = new_id(PART, ports.clock.now())
        key = part_key(upload.account_id, upload.id, part_id)
        with self._received(part_id, key, sent, size_max) as received:
            receive_form(
                read_form(inflow, sent.content_type), "data", received,
                check_field=_refuse_field,
                check_bytes=lambda size: check_part_bytes(upload, size),
            )  # fmt: skip
            return receive_part(
                upload.account_id, upload.id, received, idempotency_key=sent.idempotency_key,
                clock=ports.clock, reader=ports.reader, writer=ports.writer,
                multipart=ports.multipart, files=ports.files, idempotency=ports.idempotency,
            )  # fmt: skip

    def _received(self, id: str, key: str, sent: Sent, size_max: int) -> ReceivedObject:
        return ReceivedObject(
            id, key, size_max=size_max, hashed=sent.idempotency_key is not None,
            reader=self._ports.reader, multipart=self._ports.multipart,
        )  # fmt: skip

    def _find_upload(self, account: Account, upload_id: str) -> Upload:
        """Raises NotFound, StateConflict."""
        if len(upload_id) > ID_CHARACTERS_MAX:
            raise NotFound(f"There is nothing with the id {upload_id[:40]}….")
        upload = self._ports.files.upload(account.id, upload_id)
        require_pending(upload, self._ports.clock.now())
        return upload


def _refuse_field(name: str, value: str) -> None:
    del value
    raise unknown_parameter(name)
