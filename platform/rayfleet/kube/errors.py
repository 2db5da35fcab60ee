"""What an API server answered, as exceptions, and whether the same call may succeed later.

::

    ApiError
    ├── NotFound           404  the object (or the resource) is not there
    ├── AlreadyExists      409  create of a name that is taken
    ├── Conflict           409  stale resourceVersion, or a UID precondition that does not hold  retryable, read anew
    ├── Gone               410  the resourceVersion or continue token is too old                 retryable, list anew
    ├── Invalid            422, 400  the object or the request is refused
    ├── Forbidden          403
    ├── Unauthorized       401
    ├── TooManyRequests    429  ``retry_after`` says when                                        retryable
    ├── ServerError        5xx                                                                   retryable
    └── Unreachable             no answer: refused, reset, time-out, TLS                         retryable

Source: Kubernetes API conventions, "Response Status Kind".
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rayfleet.model.errors import RayfleetError


class ApiError(RayfleetError):
    """Base of all answers that are no success.

    ``code`` is the HTTP status (0 without an answer), ``reason`` Kubernetes' word (``AlreadyExists``), ``details`` the
    Status' details (name, kind, causes).
    """

    def __init__(
        self,
        message: str,
        *,
        code: int = 0,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        way_out: str = "",
    ) -> None:
        super().__init__(message, way_out=way_out)
        self.code = code
        self.reason = reason
        self.details: Mapping[str, Any] = details or {}

    @property
    def about(self) -> str:
        """Return the plural of the kind that the answer is about, empty when it names none."""
        return str(self.details.get("kind") or "")


class NotFound(ApiError):
    """The object, or the whole resource, is not there."""


class AlreadyExists(ApiError):
    """The name is taken."""


class Conflict(ApiError):
    """The object changed since it was read, or a precondition does not hold."""

    is_retryable = True


class Gone(ApiError):
    """The resourceVersion or the continue token is too old; list again."""

    is_retryable = True


class Invalid(ApiError):
    """The object is refused; ``details["causes"]`` names the fields."""


class Forbidden(ApiError):
    """Known, but not allowed; also quota and admission."""


class Unauthorized(ApiError):
    """The credentials are absent or stale."""


class TooManyRequests(ApiError):
    """The server asks for patience: ``retry_after`` long."""

    is_retryable = True

    def __init__(
        self, message: str, *, retry_after: timedelta, reason: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, code=429, reason=reason, details=details)
        self.retry_after = retry_after


class ServerError(ApiError):
    """The server failed."""

    is_retryable = True


class Unreachable(ApiError):
    """No answer came.

    ``is_refused``: there was no connection at all, so that trying again costs next to nothing.
    """

    is_retryable = True

    def __init__(self, message: str, *, way_out: str = "", is_refused: bool = False) -> None:
        super().__init__(message, way_out=way_out)
        self.is_refused = is_refused


_DEFAULT_RETRY_AFTER = timedelta(seconds=1)
_BY_CODE: Mapping[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: Invalid,
    415: Invalid,
    422: Invalid,
}


def decode_error(code: int, status: Mapping[str, Any], retry_after: timedelta | None = None) -> ApiError:
    """Return the exception for an HTTP status and its Status object (may be empty when the body was none). Pure."""
    reason = str(status.get("reason") or "")
    details = status.get("details") or {}
    message = str(status.get("message") or f"the API server answered {code}")
    if code == 429:
        seconds = details.get("retryAfterSeconds")
        delay = retry_after or (timedelta(seconds=seconds) if seconds else _DEFAULT_RETRY_AFTER)
        return TooManyRequests(message, retry_after=delay, reason=reason, details=details)
    if code == 409 and reason == "AlreadyExists":
        return AlreadyExists(message, code=code, reason=reason, details=details)
    leaf = ServerError if code >= 500 else _BY_CODE.get(code, ApiError)
    return leaf(message, code=code, reason=reason, details=details)
