"""Refusals: what the server answers instead of an object, as ``Status`` objects with Kubernetes' codes and reasons.

Pure.

Source: apimachinery ``api/errors`` (v1.36).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rayfleet.model.json import Json, ReadOnlyJson


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One wrong field of an object; ``reason`` as apimachinery's ``field.Error`` types (``FieldValueInvalid``)."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class Refusal(Exception):
    """An answer that is a ``Status``; ``headers`` go beside it."""

    def __init__(
        self, code: int, reason: str, message: str, *, details: ReadOnlyJson | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after

    def status(self) -> Json:
        """Return the ``Status`` object."""
        body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        return body | {"code": self.code}


def required(field: str, detail: str = "") -> Cause:
    """Return the cause for a field that must be there."""
    return Cause(field=field, reason="FieldValueRequired", message=f"Required value{_detail(detail)}")


def invalid(field: str, value: object, detail: str) -> Cause:
    """Return the cause for a value that cannot be."""
    return Cause(field=field, reason="FieldValueInvalid", message=f"Invalid value: {_shown(value)}{_detail(detail)}")


def forbidden_field(field: str, detail: str) -> Cause:
    """Return the cause for a field that may not be set or changed."""
    return Cause(field=field, reason="FieldValueForbidden", message=f"Forbidden{_detail(detail)}")


def unsupported(field: str, value: object, allowed: Sequence[str]) -> Cause:
    """Return the cause for a value outside an enumeration."""
    listed = ", ".join(f'"{each}"' for each in sorted(allowed))
    message = f"Unsupported value: {_shown(value)}: supported values: {listed}"
    return Cause(field=field, reason="FieldValueNotSupported", message=message)


def duplicate(field: str, value: object) -> Cause:
    """Return the cause for a second value of a set."""
    return Cause(field=field, reason="FieldValueDuplicate", message=f"Duplicate value: {_shown(value)}")


def too_long(field: str, limit: int) -> Cause:
    """Return the cause for a text beyond its limit."""
    message = f"Too long: may not be more than {limit} bytes"
    return Cause(field=field, reason="FieldValueTooLong", message=message)


def not_found(group: str, plural: str, name: str) -> Refusal:
    """Return the answer for an object that is not there."""
    details = _details(group, plural, name)
    return Refusal(404, "NotFound", f'{_resource(group, plural)} "{name}" not found', details=details)


def unknown_path() -> Refusal:
    """Return the answer for a resource that is not served."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(group: str, plural: str, name: str) -> Refusal:
    """Return the answer for a second object of one name."""
    details = _details(group, plural, name)
    return Refusal(409, "AlreadyExists", f'{_resource(group, plural)} "{name}" already exists', details=details)


def conflict(group: str, plural: str, name: str, why: str) -> Refusal:
    """Return the answer for a write based on an old state."""
    message = f'Operation cannot be fulfilled on {_resource(group, plural)} "{name}": {why}'
    return Refusal(409, "Conflict", message, details=_details(group, plural, name))


def invalid_object(group: str, kind: str, name: str, causes: Sequence[Cause]) -> Refusal:
    """Return the answer for an object with wrong fields; ``causes`` is not empty."""
    listed = str(causes[0]) if len(causes) == 1 else "[" + ", ".join(map(str, causes)) + "]"
    details = _details(group, kind, name) | {
        "causes": [{"reason": each.reason, "message": each.message, "field": each.field} for each in causes]
    }
    shown = f"{kind}.{group}" if group else kind
    return Refusal(422, "Invalid", f'{shown} "{name}" is invalid: {listed}', details=details)


def bad_request(message: str) -> Refusal:
    """Return the answer for a request that cannot be understood."""
    return Refusal(400, "BadRequest", message)


def forbidden(group: str, plural: str, name: str, why: str, causes: Sequence[Cause] = ()) -> Refusal:
    """Return the answer for a request that is understood and not allowed."""
    named = f' "{name}"' if name else ""
    details = _details(group, plural, name)
    if causes:
        details["causes"] = [
            {"reason": each.reason, "message": each.message, **({"field": each.field} if each.field else {})}
            for each in causes
        ]
    message = f"{_resource(group, plural)}{named} is forbidden: {why}"
    return Refusal(403, "Forbidden", message, details=details)


def method_not_allowed() -> Refusal:
    """Return the answer for a verb that the resource does not have."""
    message = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", message, details={})


def expired(message: str) -> Refusal:
    """Return the answer for a resourceVersion or continue token from before the history that is kept."""
    return Refusal(410, "Expired", message)


def too_large_version(asked: int, current: int) -> Refusal:
    """Return the answer for a resourceVersion that is in the future."""
    message = f"Too large resource version: {asked}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return Refusal(504, "Timeout", f"Timeout: {message}", details={"causes": causes, "retryAfterSeconds": 1})


def unsupported_media(accepted: Sequence[str]) -> Refusal:
    """Return the answer for a body in a format that is not understood."""
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return Refusal(415, "UnsupportedMediaType", message)


def not_acceptable(available: Sequence[str]) -> Refusal:
    """Return the answer to an Accept header that names only formats which are not spoken here."""
    message = "only the following media types are accepted: " + ", ".join(available)
    return Refusal(406, "NotAcceptable", message, details={})


def _resource(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(group: str, kind: str, name: str) -> Json:
    named = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in named.items() if value}


def _detail(detail: str) -> str:
    return f": {detail}" if detail else ""


def _shown(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case None:
            return "null"
        case int() | float():
            return str(value)
        case _:
            import orjson

            return orjson.dumps(value).decode()
