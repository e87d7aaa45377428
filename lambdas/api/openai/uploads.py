"""`/v1/uploads`."""

from __future__ import annotations

from collections.abc import Sequence

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import Call, Route, json_response
from lambdas.api.openai.files import only_file, seconds
from lambdas.api.ports import Ports
from offpeak.core.account import Scope
from offpeak.steps.add_part import add_part
from offpeak.steps.cancel_upload import cancel_upload
from offpeak.steps.complete_upload import complete_upload
from offpeak.steps.create_upload import NewUpload, create_upload
from offpeak.wire.openai.answers import PartObject, UploadObject
from offpeak.wire.openai.bodies import (
    CompleteUploadBody,
    CreateUploadBody,
    PartForm,
    parse_json,
)
from offpeak.wire.openai.form import parse_form, unknown_parameter
from offpeak.wire.openai.objects import render_part, render_upload


class UploadRoutes:
    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def routes(self) -> Sequence[Route]:
        return (
            Route(
                "POST",
                "/v1/uploads",
                self.create,
                scope=Scope.SUBMIT,
                summary="Begin an upload: a file to come, in parts.",
                takes=CreateUploadBody,
                gives=UploadObject,
                reserves=True,
            ),
            Route(
                "POST",
                "/v1/uploads/<upload_id>/parts",
                self.add_part,
                scope=Scope.SUBMIT,
                summary="Add a part to an upload.",
                takes={"multipart/form-data": PartForm},
                gives=PartObject,
                reserves=True,
            ),
            Route(
                "POST",
                "/v1/uploads/<upload_id>/complete",
                self.complete,
                scope=Scope.SUBMIT,
                summary="Complete an upload: its parts, in the order named, become a file.",
                takes=CompleteUploadBody,
                gives=UploadObject,
            ),
            Route(
                "POST",
                "/v1/uploads/<upload_id>/cancel",
                self.cancel,
                scope=Scope.SUBMIT,
                summary="Cancel an upload.",
                gives=UploadObject,
            ),
        )

    def create(self, call: Call) -> Response[str]:
        ports = self._ports
        body = parse_json(CreateUploadBody, call.body)
        upload = create_upload(
            call.account,
            NewUpload(
                filename=body.filename,
                purpose=body.purpose,
                mime_type=body.mime_type,
                bytes=body.bytes,
                expires_after=seconds(body.expires_after),
            ),
            idempotency_key=call.idempotency_key,
            clock=ports.clock,
            changes=ports.changes,
            files=ports.files,
            idempotency=ports.idempotency,
        )
        return json_response(render_upload(upload, upload.status_at(upload.created_at), None))

    def add_part(self, call: Call, upload_id: str) -> Response[str]:
        ports = self._ports
        form = parse_form(call.body, call.headers.get("content-type"))
        if form.fields:
            raise unknown_parameter(next(iter(form.fields)))
        part = add_part(
            call.account.id,
            upload_id,
            only_file(form.files, "data").content,
            idempotency_key=call.idempotency_key,
            clock=ports.clock,
            writer=ports.writer,
            files=ports.files,
            idempotency=ports.idempotency,
        )
        return json_response(render_part(part.id, part.upload_id, part.created_at))

    def complete(self, call: Call, upload_id: str) -> Response[str]:
        ports = self._ports
        body = parse_json(CompleteUploadBody, call.body)
        completed = complete_upload(
            call.account.id,
            upload_id,
            body.part_ids,
            body.md5,
            clock=ports.clock,
            reader=ports.reader,
            writer=ports.writer,
            multipart=ports.multipart,
            changes=ports.changes,
            files=ports.files,
        )
        upload = completed.upload
        return json_response(render_upload(upload, upload.status, completed.file))

    def cancel(self, call: Call, upload_id: str) -> Response[str]:
        ports = self._ports
        upload = cancel_upload(
            call.account.id, upload_id, clock=ports.clock, changes=ports.changes, files=ports.files
        )
        return json_response(render_upload(upload, upload.status, None))
