"""The gateway's own errors: why an exchange cannot go on, or an object not be used. None leaves the gateway. Pure.

::

    RayfleetError
    ├── Unusable             a field of an object says what this gateway cannot do, or nothing readable
    ├── ContributionFault    a plugin's: it returned what its contract does not allow
    └── ExchangeError
        ├── HeadRefused      the client's fault: its head has no single meaning, or asks for what there is not
        ├── UnreadableBody   the client's fault: its body does not say which model is asked for
        │   ├── AmbiguousModel      ... because it names one twice
        │   └── UnsupportedCoding   ... because it is packed in a way that nobody here unpacks
        ├── BodyTooLarge     the client's fault: its body is larger than allowed
        └── BrokenOff        the endpoint's: it failed after it had, or may have had, the request

What the client is told is refusals.py's to say; what an object's owner is told, the status of its route.
"""

from http import HTTPStatus

from rayfleet.model.errors import RayfleetError


class Unusable(RayfleetError):
    """A field of an object cannot be used; ``reason`` is a word of Gateway API's conditions."""

    def __init__(self, field: str, message: str, reason: str = "UnsupportedValue") -> None:
        super().__init__(message)
        self.field = field
        self.reason = reason


class ContributionFault(RayfleetError):
    """A plugin returned what its contract does not allow."""


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


class AmbiguousModel(UnreadableBody):
    """The body names a model twice: readers take the first or the last."""


class UnsupportedCoding(UnreadableBody):
    """The body's Content-Encoding is none that is unpacked here."""


class BodyTooLarge(ExchangeError):
    """The body is larger than allowed, as it is or unpacked."""


class BrokenOff(ExchangeError):
    """The endpoint failed after it had, or may have had, the request."""
