"""What a callback says: the event's own words, or the result of a request, as its row and its objects have it now."""

from __future__ import annotations

from offpeak.core.delivery import Delivery
from offpeak.core.errors import NotFound
from offpeak.core.layout import request_input_key
from offpeak.core.ports import Reader, Requests
from offpeak.steps.show_request import expired_ending
from offpeak.wire.hive.callback import render_callback


def callback_body(delivery: Delivery, *, requests: Requests, reader: Reader) -> bytes:
    """Always the same for one delivery. Raises NotFound once the result is not kept any more."""
    if delivery.result_of is None:
        return delivery.body.encode()
    request = requests.get(delivery.account_id, delivery.result_of)
    if not request.has_ended:  # lost: it is told of only once its window has passed
        request = request.ended(expired_ending(request))
    where = request.result
    try:
        kept = reader.read(request_input_key(request.account_id, request.id))
        line = None if where is None else reader.read(where.key, where.start, where.stop)
    except NotFound:
        raise NotFound(f"The result of request {request.id} is not kept any more.") from None
    return render_callback(request, kept, line)
