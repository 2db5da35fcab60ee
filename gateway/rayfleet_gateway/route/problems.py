"""What in an object cannot be used: which field, Gateway API's word for it, a sentence. Pure."""

from dataclasses import dataclass

from rayfleet.model.meta import ObjectKey


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """``field`` is a path within the object (``spec.rules[0].matches[1].path.type``), empty for all of it.

    ``reason`` is one of Gateway API's for conditions of routes (``UnsupportedValue``, ``BackendNotFound``, ...).
    """

    kind: str
    namespace: str
    name: str
    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        where = f"{self.kind} {self.namespace}/{self.name}"
        return f"{where}: {self.field}: {self.message}" if self.field else f"{where}: {self.message}"


def problem_of(kind: str, key: ObjectKey, field: str, reason: str, message: str) -> Problem:
    """Return a problem of the object at ``key``."""
    return Problem(kind=kind, namespace=key.namespace, name=key.name, field=field, reason=reason, message=message)
