"""Every error that Offpeak raises on purpose, on one screen.

OffpeakError
├── InvalidRequest       the caller's request is wrong; repeating it won't help
│   └── TooLarge         … because something in it is over a limit
├── Unauthenticated      no key, an unknown key, one that was revoked or is past its end
├── Forbidden            a good key whose scope doesn't reach so far
├── NotFound             no such thing in this account (a foreign thing is "not found", too)
│   └── MultipartGone    … an upload in parts that was completed, or given up
├── StateConflict        legal request, wrong moment: the thing has moved on, or ended
├── QuotaExceeded        an account's limit is reached; waiting or asking for more helps
│   └── TooManyRequests  … that on requests a second: waiting some seconds helps
├── InsufficientCredits  an account's credits don't suffice; waiting won't help, adding some does
└── Unavailable          a dependency failed; the same call may work later

`message` is a sentence for the person who called; `param` names the field that is wrong; `code` is
stable and for programs. HTTP statuses are given in one table, `offpeak/wire/http_errors.py`.
"""


class OffpeakError(Exception):
    """The root. Never raised itself."""

    code_default: str = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code_default


class InvalidRequest(OffpeakError):
    code_default = "invalid_request"


class TooLarge(InvalidRequest):
    code_default = "request_too_large"


class Unauthenticated(OffpeakError):
    code_default = "invalid_api_key"


class Forbidden(OffpeakError):
    code_default = "missing_scope"


class NotFound(OffpeakError):
    code_default = "not_found"


class MultipartGone(NotFound):
    code_default = "multipart_gone"


class StateConflict(OffpeakError):
    code_default = "conflict"


class QuotaExceeded(OffpeakError):
    code_default = "quota_exceeded"


class TooManyRequests(QuotaExceeded):
    code_default = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class InsufficientCredits(OffpeakError):
    code_default = "insufficient_credits"


class Unavailable(OffpeakError):
    code_default = "unavailable"
