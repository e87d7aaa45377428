"""`/v1/files`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import Call, Route, json_response
from lambdas.api.ports import Ports
from lambdas.api.stored_files import PAGE_FILES_MAX, drop_file, redirect_to_content
from offpeak.core.account import Scope
from offpeak.core.errors import InvalidRequest
from offpeak.core.file import FileStatus
from offpeak.steps.begin_file import begin_file
from offpeak.steps.complete_file import complete_file
from offpeak.steps.create_file import NewFile, create_file
from offpeak.steps.find_file import find_file
from offpeak.steps.list_files import list_files
from offpeak.wire.openai.answers import (
    ContentQuery,
    DeletedFileObject,
    FileList,
    FileObject,
    FilesQuery,
    PendingFileObject,
)
from offpeak.wire.openai.bodies import (
    BeginFileBody,
    CompleteFileBody,
    ExpiresAfter,
    FileForm,
    parse_fields,
    parse_json,
)
from offpeak.wire.openai.form import (
    FormFile,
    missing_parameter,
    parse_form,
    unknown_parameter,
)
from offpeak.wire.openai.listing import parse_listing, render_list
from offpeak.wire.openai.objects import render_deleted_file, render_file, render_pending_file


class FileRoutes:
    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def routes(self) -> Sequence[Route]:
        return (
            Route(
                "POST",
                "/v1/files",
                self.create,
                scope=Scope.SUBMIT,
                summary="Upload a file in a form; or, with a JSON body, get URLs to put a large one at.",
                takes={"multipart/form-data": FileForm, "application/json": BeginFileBody},
                gives=PendingFileObject | FileObject,
                reserves=True,
            ),
            Route(
                "GET",
                "/v1/files",
                self.list,
                scope=Scope.READ,
                summary="List the account's files.",
                query=FilesQuery,
                gives=FileList,
            ),
            Route(
                "GET",
                "/v1/files/<file_id>",
                self.show,
                scope=Scope.READ,
                summary="Show a file.",
                gives=FileObject,
            ),
            Route(
                "DELETE",
                "/v1/files/<file_id>",
                self.delete,
                scope=Scope.SUBMIT,
                summary="Delete a file.",
                gives=DeletedFileObject,
            ),
            Route(
                "GET",
                "/v1/files/<file_id>/content",
                self.content,
                scope=Scope.READ,
                summary="Download a file: a redirect to a URL that is good for an hour.",
                query=ContentQuery,
                status=302,
                gives=None,
            ),
            Route(
                "POST",
                "/v1/files/<file_id>/complete",
                self.complete,
                scope=Scope.SUBMIT,
                summary="Complete a file whose parts were put at their URLs.",
                takes=CompleteFileBody,
                gives=FileObject,
                accents=("Offpeak",),
            ),
        )

    def create(self, call: Call) -> Response[str]:
        """A multipart form carries the bytes; a JSON body announces them."""
        content_type = call.headers.get("content-type", "")
        if content_type.lower().startswith("application/json"):
            return self._begin(call)
        return self._create(call, content_type)

    def _create(self, call: Call, content_type: str) -> Response[str]:
        ports = self._ports
        form = parse_form(call.body, content_type)
        sent = only_file(form.files, "file")
        fields = parse_fields(form.fields, sent.filename)
        file = create_file(
            call.account,
            NewFile(
                filename=fields.filename,
                purpose=fields.purpose,
                expires_after=seconds(fields.expires_after),
            ),
            sent.content,
            idempotency_key=call.idempotency_key,
            clock=ports.clock,
            writer=ports.writer,
            changes=ports.changes,
            files=ports.files,
            idempotency=ports.idempotency,
        )
        return json_response(render_file(file))

    def _begin(self, call: Call) -> Response[str]:
        ports = self._ports
        body = parse_json(BeginFileBody, call.body)
        begun = begin_file(
            call.account,
            NewFile(
                filename=body.filename,
                purpose=body.purpose,
                expires_after=seconds(body.expires_after),
            ),
            body.bytes,
            idempotency_key=call.idempotency_key,
            clock=ports.clock,
            multipart=ports.multipart,
            presigner=ports.presigner,
            changes=ports.changes,
            files=ports.files,
            idempotency=ports.idempotency,
        )
        if begun.file.status is not FileStatus.PENDING:
            return json_response(render_file(begun.file))
        return json_response(
            render_pending_file(
                begun.file,
                part_bytes=begun.part_bytes,
                part_urls=begun.part_urls,
                urls_expire_at=begun.urls_expire_at,
            )
        )

    def complete(self, call: Call, file_id: str) -> Response[str]:
        ports = self._ports
        body = parse_json(CompleteFileBody, call.body)
        etags = {part.part_number: part.etag for part in body.parts}
        if len(etags) != len(body.parts):
            raise InvalidRequest(
                "'parts' names a part twice.", param="parts", code="duplicate_part"
            )
        file = complete_file(
            call.account.id,
            file_id,
            etags,
            clock=ports.clock,
            reader=ports.reader,
            writer=ports.writer,
            multipart=ports.multipart,
            changes=ports.changes,
            files=ports.files,
        )
        return json_response(render_file(file))

    def list(self, call: Call) -> Response[str]:
        listing = parse_listing(call.query, limit_default=PAGE_FILES_MAX, limit_max=PAGE_FILES_MAX)
        page = list_files(
            call.account.id,
            limit=listing.limit,
            after=listing.after,
            purpose=listing.purpose,
            ascending=listing.ascending,
            clock=self._ports.clock,
            files=self._ports.files,
        )
        return json_response(render_list(map(render_file, page.rows), page.has_more))

    def show(self, call: Call, file_id: str) -> Response[str]:
        file = find_file(call.account.id, file_id, clock=self._ports.clock, files=self._ports.files)
        return json_response(render_file(file))

    def delete(self, call: Call, file_id: str) -> Response[str]:
        drop_file(self._ports, call.account.id, file_id)
        return json_response(render_deleted_file(file_id))

    def content(self, call: Call, file_id: str) -> Response[str]:
        if call.query.get("redirect") == "false":
            # A door answers this itself and takes the parameter away (docs/door.md).
            raise InvalidRequest(
                "Files are downloaded by a redirect here: this deployment has no door to send them.",
                param="redirect",
                code="redirect_required",
            )
        return redirect_to_content(self._ports, call.account.id, file_id)


def only_file(files: Mapping[str, FormFile], name: str) -> FormFile:
    """The form's one file. Raises InvalidRequest."""
    unknown = next((other for other in files if other != name), None)
    if unknown is not None:
        raise unknown_parameter(unknown)
    if name not in files:
        raise missing_parameter(name)
    return files[name]


def seconds(expires_after: ExpiresAfter | None) -> int | None:
    return None if expires_after is None else expires_after.seconds
