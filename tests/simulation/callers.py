"""Those who call the service: they send the same call again while it isn't answered, and believe what they are told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from offpeak.core.account import Account
from offpeak.core.batch import Batch
from offpeak.core.errors import OffpeakError
from offpeak.core.file import File
from offpeak.core.group import Group
from offpeak.steps.add_credits import add_credits
from offpeak.steps.add_part import add_part
from offpeak.steps.cancel_batch import cancel_batch
from offpeak.steps.cancel_group import cancel_group
from offpeak.steps.cancel_request import cancel_request
from offpeak.steps.complete_upload import complete_upload
from offpeak.steps.create_batch import NewBatch, create_batch
from offpeak.steps.create_file import INPUT_PURPOSE, NewFile, create_file
from offpeak.steps.create_request import NewRequest, create_request
from offpeak.steps.create_upload import NewUpload, create_upload
from offpeak.steps.delete_file import delete_file
from offpeak.steps.group_requests import NewGroup, create_group, extend_group
from offpeak.steps.read_partial_results import read_partial_results
from tests.simulation.scenario import BatchPlan
from tests.steps.request_simulation import ALICE, SENT_AGAIN
from tests.steps.simulation import ENDPOINT, request

if TYPE_CHECKING:
    from tests.simulation.town import Town

TRIES_MAX = 200
CALL_AGAIN_SECONDS = (2, 30, 200)
_CONFLICTS = SENT_AGAIN | {"write_conflict"}
PROMPTS = {"g": "hi", "p": "poison", "m": "murder", "u": "unlucky", "s": "slow", "d": "hi"}
RECEIVER = "https://hooks.example.org/done"


@dataclass
class Reading:
    """Result lines that somebody read while the batch ran; `is_whole` once it had ended and there were no more."""

    lines: list[bytes] = field(default_factory=list)
    is_whole: bool = False


class Callers:
    """`refused` has the plans whose batch was refused, with the reason's code; `request_ids` each request's id once its
    caller knows it; `group_answers` what the caller of the group was told."""

    def __init__(self, town: Town, accounts: dict[str, Account]) -> None:
        self._town = town
        self._accounts = accounts
        self.refused: dict[int, str] = {}
        self.request_ids: dict[int, str] = {}
        self.group_answers: list[Group | OffpeakError] = []
        self.read: dict[str, Reading] = {}
        """By batch."""
        self.paid: list[tuple[Account, str, int]] = []
        """To whom, under which reference, how many micro-dollars."""

    # ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def submit(self, number: int, plan: BatchPlan) -> None:
        self._go(f"caller {number}", lambda: self._submit(number, plan))

    def _submit(self, number: int, plan: BatchPlan) -> None:
        content = b"".join(line + b"\n" for line in lines_of(number, plan))
        account = self._accounts[plan.billing]
        file = (self._upload if plan.uploaded else self._put)(account, number, content)
        new = NewBatch(
            input_file_id=file.id, endpoint=ENDPOINT, completion_window=f"{plan.window_seconds}s",
            on_invalid="skip" if plan.skips else "fail", metadata={"plan": str(number)},
        )  # fmt: skip
        step = partial(create_batch, account, new, idempotency_key=f"batch {number}")
        try:
            batch: Batch = self._call(step)
        except OffpeakError as error:
            self.refused[number] = error.code
            return
        if plan.is_read:
            self._read(batch)

    def _put(self, account: Account, number: int, content: bytes) -> File:
        new = NewFile(filename=f"{number}.jsonl", purpose=INPUT_PURPOSE)
        made: File = self._call(
            partial(create_file, account, new, content, idempotency_key=f"file {number}")
        )
        return made

    def _upload(self, account: Account, number: int, content: bytes) -> File:
        """In three parts; again from the start when its hour has passed meanwhile."""
        new = NewUpload(
            filename=f"{number}.jsonl", purpose=INPUT_PURPOSE, mime_type="application/jsonl",
            bytes=len(content),
        )  # fmt: skip
        third = len(content) // 3 + 1
        parts = [content[at : at + third] for at in range(0, len(content), third)]
        for tries in range(TRIES_MAX):
            key = f"upload {number}.{tries}"
            try:
                upload = self._call(partial(create_upload, account, new, idempotency_key=key))
                added = [
                    self._call(
                        partial(
                            add_part, account.id, upload.id, part, idempotency_key=f"{key}.{at}"
                        )
                    )
                    for at, part in enumerate(parts)
                ]
                md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
                ids = [each.id for each in added]
                file: File = self._call(complete_upload, account.id, upload.id, ids, md5).file
            except OffpeakError as error:
                if error.code != "upload_not_pending":
                    raise AssertionError("An upload is refused.") from error
            else:
                return file
        raise AssertionError(f"The input of batch {number} can't be uploaded.")

    def _read(self, batch: Batch) -> None:
        """Its results, page after page while it runs, a minute between two looks."""
        reading = self.read.setdefault(batch.id, Reading())
        after = None
        while not reading.is_whole:
            step = partial(
                read_partial_results, after=after, kind=None, page_bytes_max=2_000,
            )  # fmt: skip
            try:
                page = self._call(step, batch.account_id, batch.id)
            except OffpeakError as error:
                if error.code != "results_moved":
                    raise AssertionError("Results can't be read.") from error
                return
            reading.lines += page.lines.splitlines()
            after, reading.is_whole = page.after, not (page.incomplete or page.has_more)
            if not page.has_more:
                self._town.sleep(60)

    def cancel(self, batch: Batch) -> None:
        self._go(f"cancel {batch.id}", lambda: self._call(cancel_batch, batch.account_id, batch.id))

    def delete_input(self, batch: Batch) -> None:
        self._go(
            f"delete {batch.input_file_id}",
            lambda: self._call(delete_file, batch.account_id, batch.input_file_id),
        )

    def pay(self, account: Account, microdollars: int, reference: str) -> None:
        """An operator who isn't sure that the first call was heard."""
        self.paid.append((account, reference, microdollars))
        step = partial(add_credits, note="", reference=reference)
        for _ in range(2):
            self._go(reference, lambda: self._call(step, account.id, microdollars))

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self, number: int, kind: str) -> None:
        """Every second one with a callback."""
        prompt = f"request-{number} {PROMPTS[kind]}"
        new = NewRequest(
            body=json.dumps({"model": "red", "prompt": prompt}).encode(), endpoint=ENDPOINT,
            callback=RECEIVER if number % 2 else None,
        )  # fmt: skip
        step = partial(create_request, ALICE, new, idempotency_key=f"request {number}")

        def send() -> None:
            self.request_ids[number] = self._call(step).id

        self._go(f"sender {number}", send)

    def group(self, numbers: range, extension: range, has_rival: bool) -> None:
        """Those that are registered by now; more of them later. One request is in one group at most."""
        ids, more = (
            [self.request_ids[each] for each in chosen if each in self.request_ids]
            for chosen in (numbers, extension)
        )

        def group(key: str) -> None:
            step = partial(create_group, idempotency_key=key)
            try:
                made: Group = self._call(step, ALICE, NewGroup(request_ids=tuple(ids)))
                self.group_answers.append(made)
                if more:
                    self._call(extend_group, ALICE, made.id, more)
            except OffpeakError as error:
                self.group_answers.append(error)

        if ids:
            self._go("grouper", lambda: group("group"))
        if ids and has_rival:
            self._go("rival", lambda: group("rival"))

    def cancel_group(self) -> None:
        for made in self.group_answers:
            if isinstance(made, Group):
                self._go("canceller", partial(self._call, cancel_group, ALICE.id, made.id))

    def cancel_request(self, number: int) -> None:
        if number in self.request_ids:
            asked = partial(self._call, cancel_request, ALICE.id, self.request_ids[number])
            self._go(f"cancel request {number}", asked)

    # ── how they call ────────────────────────────────────────────────────────────────────────────────────────────────

    def _go(self, name: str, body: Callable[[], Any]) -> None:
        """They wait for nobody, and no weather kills them."""
        self._town.spawn(name, body, mortal=False)

    def _call(self, step: Callable[..., Any], *args: Any) -> Any:
        """What it gave. Raises what it was refused with for good."""
        for _ in range(TRIES_MAX):
            child = self._town.spawn("call", lambda: self._town.call(step, *args))
            self._town.wait(lambda child=child: child.finished)  # type: ignore[misc]
            if child.error is None:
                return child.result
            if isinstance(child.error, OffpeakError) and child.error.code not in _CONFLICTS:
                raise child.error
            self._town.sleep(self._town.random.choice(CALL_AGAIN_SECONDS))
        raise AssertionError(f"{step} is never answered")


def lines_of(number: int, plan: BatchPlan) -> list[bytes]:
    lines = []
    for at, (kind, model) in enumerate(zip(plan.kinds, plan.models, strict=True)):
        name = f"{number}-{at}"
        custom_id = f"{number}-first" if kind == "d" else name
        prompt = f"{name} {PROMPTS.get(kind)}"
        lines.append(
            b"{}" if kind == "b" else request(custom_id, {"r": "red", "b": "blue"}[model], prompt)
        )
    return lines
