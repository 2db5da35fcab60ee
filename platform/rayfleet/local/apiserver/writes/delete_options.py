"""What a deletion asks for, read from its body or its query. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rayfleet.local.apiserver.grammar.refusal import Cause, bad_request, invalid, invalid_object, unsupported
from rayfleet.local.apiserver.kinds.decoding import Decoder, WrongTypeError
from rayfleet.local.apiserver.kinds.schemas import Schemas
from rayfleet.model.json import Json, ReadOnlyJson

_SCHEMA = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_POLICIES = ("Foreground", "Background", "Orphan", "nil")
_QUERY = ("gracePeriodSeconds", "propagationPolicy", "orphanDependents", "dryRun")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """The wishes of a deletion; None and the empty text mean: not said. A negative grace period counts as a second."""

    grace_seconds: int | None = None
    policy: str = ""
    uid: str = ""
    version: str = ""
    is_dry_run: bool = False


def typed_delete_options(schemas: Schemas, body: ReadOnlyJson) -> Json:
    """Return the body of a deletion as typed data; unknown fields are dropped. Raises Refusal (400)."""
    kind = body.get("kind") or "DeleteOptions"
    if kind != "DeleteOptions":
        version = body.get("apiVersion") or "meta.k8s.io/v1"
        raise bad_request(f'no kind "{kind}" is registered for version "{version}" of DeleteOptions')
    try:
        fields: Json = Decoder(schemas).decode(body, schemas.by_name[_SCHEMA], _SCHEMA, "")
    except WrongTypeError as error:
        raise bad_request(f"json: {error}") from error
    return fields


def decode_delete_options(body: ReadOnlyJson, query: Mapping[str, str]) -> DeleteOptions:
    """Return the options of a body, or of the query when there is none. Raises Refusal: 400, 422."""
    fields: Json = dict(body) if body else {name: value for name, value in query.items() if name in _QUERY}
    policy = fields.get("propagationPolicy") or ""
    orphan = fields.get("orphanDependents")
    dry = fields.get("dryRun") or []
    dry = [dry] if isinstance(dry, str) else [*dry]
    if causes := _problems(policy, orphan, dry):
        raise invalid_object("meta.k8s.io", "DeleteOptions", "", causes)
    if orphan is not None:
        policy = "Orphan" if orphan in (True, "true") else "Background"
    preconditions = fields.get("preconditions") or {}
    return DeleteOptions(
        grace_seconds=_grace_seconds(fields.get("gracePeriodSeconds")),
        policy=policy,
        uid=preconditions.get("uid") or "",
        version=preconditions.get("resourceVersion") or "",
        is_dry_run=bool(dry),
    )


def _problems(policy: str, orphan: object, dry: list[str]) -> list[Cause]:
    causes: list[Cause] = []
    if policy and policy not in _POLICIES[:3]:
        causes.append(unsupported("propagationPolicy", policy, _POLICIES))
    if policy and orphan is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(invalid("propagationPolicy", policy, text))
    if any(each != "All" for each in dry):
        causes.append(unsupported("dryRun", dry, ("All",)))
    return causes


def _grace_seconds(value: Any) -> int | None:
    if value is None or value == "":
        return None
    try:
        seconds = int(value)
    except (TypeError, ValueError) as error:
        raise bad_request(f"gracePeriodSeconds: {value!r} is no whole number") from error
    return 1 if seconds < 0 else seconds
