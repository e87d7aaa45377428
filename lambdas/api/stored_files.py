"""What every accent does alike with a file that is there."""

from __future__ import annotations

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import redirect
from lambdas.api.ports import Ports
from offpeak.steps.delete_file import delete_file
from offpeak.steps.find_content import find_content

DOWNLOAD_SECONDS = 3_600
PAGE_FILES_MAX = 10_000


def redirect_to_content(ports: Ports, account_id: str, file_id: str) -> Response[str]:
    file = find_content(
        account_id, file_id, clock=ports.clock, files=ports.files, reader=ports.reader
    )
    return redirect(ports.presigner.download_url(file.key, DOWNLOAD_SECONDS, file.filename))


def drop_file(ports: Ports, account_id: str, file_id: str) -> None:
    delete_file(
        account_id, file_id, clock=ports.clock, writer=ports.writer, multipart=ports.multipart,
        changes=ports.changes, files=ports.files, batches=ports.batches,
    )  # fmt: skip
