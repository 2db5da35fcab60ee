"""What the schema of a kind says of each place of an object, as merging and owning fields need it. Pure.

Source: kube-openapi ``pkg/schemaconv`` (v1.36): a list is atomic unless its schema says ``set`` or ``map``, an object
is merged field by field unless it says ``atomic``; below what no schema describes, objects are merged and lists are
atomic.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from rayfleet.local.apiserver.kinds.schemas import Schemas
from rayfleet.manifest.structural import PRESERVE
from rayfleet.model.json import Json, ReadOnlyJson

_MERGED = ("set", "map")


class Scalar(Enum):
    """What a plain value may be."""

    STRING = "string"
    NUMBER = "numeric"
    BOOLEAN = "boolean"
    ANY = "scalar"


class Shape:
    """One place; asked for the places below it, which are made when they are asked for."""

    def __init__(self, schemas: Schemas, schema: ReadOnlyJson, default: object = None) -> None:
        _, resolved = schemas.resolve(schema)
        self._schemas = schemas
        self._properties: Mapping[str, ReadOnlyJson] = resolved.get("properties") or {}
        self._required = frozenset(resolved.get("required") or ())
        values = resolved.get("additionalProperties")
        self._values = values if isinstance(values, dict) else None
        self._items: ReadOnlyJson = resolved.get("items") or {}
        self._type = resolved.get("type", "") if "oneOf" not in resolved else ""
        says_nothing = not self._properties and values is None and self._type in ("", "object")
        self.is_open = bool(resolved.get(PRESERVE)) or says_nothing or values is True
        self.is_atomic = resolved.get("x-kubernetes-map-type") == "atomic"
        self.is_merged_list = resolved.get("x-kubernetes-list-type") in _MERGED
        self.keys: tuple[str, ...] = tuple(sorted(resolved.get("x-kubernetes-list-map-keys") or ()))
        self.default = schema.get("default", resolved.get("default", default))
        self._below: dict[str, Shape | None] = {}
        self._item: Shape | None = None

    def declares(self, name: str) -> bool:
        """Whether ``name`` is a field of its own, and not a key of a map."""
        return name in self._properties

    def below(self, name: str) -> "Shape | None":
        """Return the place of a field or of a map's value; None for a field that may not be."""
        if name not in self._below:
            schema = self._properties.get(name, self._values)
            if schema is not None:
                self._below[name] = Shape(self._schemas, schema)
            else:
                self._below[name] = Shape(self._schemas, {PRESERVE: True}) if self.is_open else None
        return self._below[name]

    @property
    def item(self) -> "Shape":
        """Return the place of a list's items."""
        if self._item is None:
            self._item = Shape(self._schemas, self._items)
        return self._item

    @property
    def scalar(self) -> Scalar:
        """Return what a plain value here may be."""
        match self._type:
            case "string":
                return Scalar.STRING
            case "integer" | "number":
                return Scalar.NUMBER
            case "boolean":
                return Scalar.BOOLEAN
            case _:
                return Scalar.ANY

    def nothing(self) -> Json:
        """Return the object that Go writes for a kind of which nothing is set: structs, and fields that must be."""
        result: Json = {}
        for name in self._properties:
            place = self.below(name)
            if place is not None and place.default == {} and place.has_fields:
                result[name] = place.nothing()
            elif place is not None and name in self._required:
                result[name] = place.zero()
        return result

    @property
    def has_fields(self) -> bool:
        """Whether the place is an object with fields of its own."""
        return bool(self._properties)

    def zero(self) -> Any:
        """Return the value that Go writes for a field that must be and is not set."""
        return {"string": "", "integer": 0, "number": 0, "boolean": False}.get(self._type)
