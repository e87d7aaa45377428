"""`/together/v1/files`: bytes go straight to S3, in one PUT or in parts."""

from __future__ import annotations

from collections.abc import Sequence

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import TOGETHER, Call, Route, json_response, redirect
from lambdas.api.ports import Ports
from lambdas.api.stored_files import PAGE_FILES_MAX, drop_file, redirect_to_content
from offpeak.core.account import Scope
from offpeak.core.errors import InvalidRequest, NotFound, StateConflict
from offpeak.core.file import File, FileStatus
from offpeak.steps.begin_file import begin_file
from offpeak.steps.begin_put import begin_put
from offpeak.steps.complete_file import complete_file
from offpeak.steps.complete_put import complete_put
from offpeak.steps.create_file import INPUT_PURPOSE, NewFile
from offpeak.steps.find_file import find_file
from offpeak.steps.list_files import list_files
from offpeak.wire.openai.bodies import parse_json
from offpeak.wire.openai.listing import parse_listing, render_list
from offpeak.wire.openai.objects import render_deleted_file
from offpeak.wire.together.answers import (
    AbortedMultipart,
    CompletedMultipart,
    DeletedTogetherFile,
    MultipartUpload,
    TogetherFile,
    TogetherFileList,
    TogetherFilesQuery,
)
from offpeak.wire.together.bodies import (
    PURPOSE,
    URLENCODED,
    AbortMultipartBody,
    CompleteMultipartBody,
    InitiateMultipartBody,
    UploadFields,
    parse_upload,
)
from offpeak.wire.together.objects import render_file, render_multipart

FILE_TYPE = "jsonl"
FILES = "/together/v1/files"


class TogetherFileRoutes:
    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def routes(self) -> Sequence[Route]:
        one = f"{FILES}/<file_id>"
        return (
            Route(
                "POST", FILES, self.begin, accents=TOGETHER, reserves=True, status=302, gives=None,
                takes={"multipart/form-data": UploadFields, URLENCODED: UploadFields},
                scope=Scope.SUBMIT, summary="Begin a file: a redirect to the URL that its bytes are PUT at.",
            ),
            Route(
                "POST", f"{one}/preprocess", self.preprocess, accents=TOGETHER, gives=TogetherFile,
                scope=Scope.SUBMIT, summary="Complete a file whose bytes were PUT.",
            ),
            Route(
                "POST", f"{FILES}/multipart/initiate", self.initiate, accents=TOGETHER,
                reserves=True, takes=InitiateMultipartBody, gives=MultipartUpload,
                scope=Scope.SUBMIT, summary="Begin a large file, whose parts are PUT at URLs of their own.",
            ),
            Route(
                "POST", f"{FILES}/multipart/complete", self.complete, accents=TOGETHER,
                takes=CompleteMultipartBody, gives=CompletedMultipart,
                scope=Scope.SUBMIT, summary="Complete a large file.",
            ),
            Route(
                "POST", f"{FILES}/multipart/abort", self.abort, accents=TOGETHER,
                takes=AbortMultipartBody, gives=AbortedMultipart, scope=Scope.SUBMIT, summary="Give up a large file.",
            ),
            Route(
                "GET", FILES, self.list, accents=TOGETHER, query=TogetherFilesQuery,
                gives=TogetherFileList, scope=Scope.READ, summary="List the account's files, newest first.",
            ),
            Route(
                "GET", one, self.show, accents=TOGETHER, gives=TogetherFile, scope=Scope.READ, summary="Show a file.",
            ),
            Route(
                "DELETE", one, self.delete, accents=TOGETHER, gives=DeletedTogetherFile,
                scope=Scope.SUBMIT, summary="Delete a file.",
            ),
            Route(
                "GET", f"{one}/content", self.content, accents=TOGETHER, status=302, gives=None,
                scope=Scope.READ, summary="Download a file: a redirect to a URL that is good for an hour.",
            ),
        )  # fmt: skip

    def begin(self, call: Call) -> Response[str]:
        """Exactly 302: the SDKs take no other redirect, and read the id from a header."""
        ports = self._ports
        fields = parse_upload(call.body, call.headers.get("content-type", ""))
        begun = begin_put(
            call.account,
            _new_file(fields),
            idempotency_key=call.idempotency_key,
            clock=ports.clock,
            presigner=ports.presigner,
            changes=ports.changes,
            files=ports.files,
            idempotency=ports.idempotency,
        )
        answer = redirect(begun.url)
        answer.headers["X-Together-File-Id"] = begun.file.id
        return answer

    def preprocess(self, call: Call, file_id: str) -> Response[str]:
        ports = self._ports
        file = complete_put(
            call.account,
            file_id,
            clock=ports.clock,
            reader=ports.reader,
            writer=ports.writer,
            changes=ports.changes,
            files=ports.files,
        )
        return json_response(render_file(file))

    def initiate(self, call: Call) -> Response[str]:
        ports = self._ports
        body = parse_json(InitiateMultipartBody, call.body)
        begun = begin_file(
            call.account,
            _new_file(body),
            body.file_size,
            parts=body.num_parts,
            idempotency_key=call.idempotency_key,
            clock=ports.clock,
            multipart=ports.multipart,
            presigner=ports.presigner,
            changes=ports.changes,
            files=ports.files,
            idempotency=ports.idempotency,
        )
        return json_response(render_multipart(begun.file, begun.part_urls))

    def complete(self, call: Call) -> Response[str]:
        ports = self._ports
        body = parse_json(CompleteMultipartBody, call.body)
        self._find_upload(call, body.file_id, body.upload_id)
        file = complete_file(
            call.account.id,
            body.file_id,
            {part.part_number: part.etag for part in body.parts},
            clock=ports.clock,
            reader=ports.reader,
            writer=ports.writer,
            multipart=ports.multipart,
            changes=ports.changes,
            files=ports.files,
        )
        return json_response({"file": render_file(file)})

    def abort(self, call: Call) -> Response[str]:
        body = parse_json(AbortMultipartBody, call.body)
        file = self._find_upload(call, body.file_id, body.upload_id)
        if file.status is not FileStatus.PENDING:
            raise StateConflict(f"File {file.id} is complete.", code="file_not_pending")
        drop_file(self._ports, call.account.id, body.file_id)
        return json_response({"file_id": body.file_id, "aborted": True})

    def list(self, call: Call) -> Response[str]:
        listing = parse_listing(call.query, limit_default=PAGE_FILES_MAX, limit_max=PAGE_FILES_MAX)
        page = list_files(
            call.account.id,
            limit=listing.limit,
            after=listing.after,
            purpose=None,
            ascending=False,
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
        return redirect_to_content(self._ports, call.account.id, file_id)

    def _find_upload(self, call: Call, file_id: str, upload_id: str) -> File:
        """The file, which has forgotten its upload's id once it is complete. Raises NotFound."""
        file = find_file(call.account.id, file_id, clock=self._ports.clock, files=self._ports.files)
        if file.status is FileStatus.PENDING and file.multipart_id != upload_id:
            raise NotFound(f"There is no upload {upload_id[:80]} of file {file_id}.")
        return file


def _new_file(fields: UploadFields | InitiateMultipartBody) -> NewFile:
    """Raises InvalidRequest for what is no input of a batch."""
    if fields.purpose != PURPOSE:
        raise InvalidRequest(
            f"Invalid value for 'purpose': {fields.purpose!r}. Only {PURPOSE!r} is supported.",
            param="purpose",
            code="invalid_purpose",
        )
    if fields.file_type != FILE_TYPE:
        raise InvalidRequest(
            f"Invalid value for 'file_type': {fields.file_type!r}. A batch's input is {FILE_TYPE!r}.",
            param="file_type",
            code="invalid_file_type",
        )
    return NewFile(filename=fields.file_name, purpose=INPUT_PURPOSE)
