"""Applied configurations before they are merged: their kind, their name, their types. Pure but for a cache of shapes.

Source: apiserver ``pkg/endpoints/handlers/patch.go`` (v1.36), with its messages.
"""

from rayfleet.local.apiserver.grammar.refusal import Refusal, bad_request, conflict
from rayfleet.local.apiserver.kinds.kind import Fields, Kind
from rayfleet.local.apiserver.kinds.schemas import Schemas
from rayfleet.local.apiserver.kinds.shapes import Shape
from rayfleet.model.json import Json, ReadOnlyJson

Place = tuple[str, str]
"""Namespace (empty for a cluster's object) and name."""


class Shapes:
    """The shapes of kinds, each made once; a changed definition brings other fields, and so another shape."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._known: dict[tuple[str, str], tuple[Fields, Shape]] = {}

    def of(self, kind: Kind) -> Shape:
        """Return the shape of the kind's objects."""
        name = (kind.api_version, kind.plural)
        fields, shape = self._known.get(name, (None, None))
        if shape is None or fields is not kind.fields:
            shape = Shape(self._schemas, kind.fields.openapi())
            self._known[name] = (kind.fields, shape)
        return shape


def shape_of_nothing(kind: Kind, shape: Shape) -> Json:
    """Return the object that is there before one is made: what a typed decoder makes of nothing."""
    empty = {} if kind.is_custom else shape.nothing()
    return {**empty, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": {}}


def check_configuration(kind: Kind, place: Place, config: ReadOnlyJson, type_problem: str) -> None:
    """Raise Refusal (400, 500) for a configuration of another kind or name, or one that the schema does not allow."""
    version, name = config.get("apiVersion") or "", config.get("kind") or ""
    shown = version if "/" in version else f"/{version}"
    if version != kind.api_version or name != kind.kind:
        raise bad_request(f"invalid object type: {shown}, Kind={name}")
    meta = config.get("metadata") or {}
    if not isinstance(meta, dict):
        raise bad_request("error decoding YAML: metadata is no object")
    if meta.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    if type_problem:
        at = f"{meta.get('namespace') or ''}/{meta.get('name') or ''}; {shown}, Kind={name}"
        raise Refusal(500, "", f"failed to create typed patch object ({at}): {type_problem}")
    if meta.get("name", place[1]) != place[1]:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({place[1]})")


def check_expected(kind: Kind, place: Place, config: ReadOnlyJson, *, is_there: bool) -> None:
    """Raise Refusal (409) for a configuration that names the identity of an object which is not there."""
    uid = (config.get("metadata") or {}).get("uid")
    if uid and not is_there:
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise conflict(kind.group, kind.plural, place[1], why)
