"""The gateway's own errors: why an exchange cannot go on. None leaves the gateway; each becomes an answer. Pure.

::

    RayfleetError
    └── ExchangeError
        ├── HeadRefused      the client's fault: its head has no single meaning, or asks for what there is not
        ├── UnreadableBody   the client's fault: its body does not say which model is asked for
        ├── BodyTooLarge     the client's fault: its body is larger than allowed
        ├── NotConnected     the endpoint's: nothing was processed, so another one may be asked
        ├── BrokenOff        the endpoint's: it failed after it had, or may have had, the request
        └── Refused          an answer of the gateway's own ends the exchange (exchange.py)

What the client is told is refusals.py's to say.
"""

from http import HTTPStatus

from rayfleet.model.errors import RayfleetError


class ExchangeError(RayfleetError):
    """Base of what ends one exchange."""


class HeadRefused(ExchangeError):
    """A request's head is refused with a status and a stable code; the message is for the client."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class UnreadableBody(ExchangeError):
    """The body does not say which model is asked for; the message is for the client."""


class BodyTooLarge(ExchangeError):
    """The body is larger than allowed, as it is or unpacked."""


class NotConnected(ExchangeError):
    """No connection was made, so nothing was processed: another endpoint may be asked."""

    is_retryable = True


class BrokenOff(ExchangeError):
    """The endpoint failed after it had, or may have had, the request."""
