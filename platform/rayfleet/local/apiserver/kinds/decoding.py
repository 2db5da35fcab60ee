"""Objects as a typed decoder reads them: unknown fields are dropped, types are checked. Pure.

As Go's decoder and encoder together: null is as absent, an empty optional list or map is not kept, and times and
quantities come back in their one canonical form.
"""

import base64
import binascii
import re
from typing import Any

from rayfleet.local.apiserver.grammar.refusal import bad_request
from rayfleet.local.apiserver.kinds.schemas import Schemas
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.quantity import canonical_quantity

_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"
_MICRO_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
_CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_SCHEMA_OR = {f"{_CRD}JSONSchemaPropsOrArray", f"{_CRD}JSONSchemaPropsOrBool"}
_SCHEMA = {"$ref": f"#/components/schemas/{_CRD}JSONSchemaProps"}
_INT32 = range(-(1 << 31), 1 << 31)
_INT64 = range(-(1 << 63), 1 << 63)
_MICRO = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}(Z|[+-]\d{2}:\d{2})")
_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")


class WrongTypeError(Exception):
    """A value cannot be decoded."""

    def __init__(self, value: Any, path: str, go_type: str) -> None:
        super().__init__(f"cannot unmarshal {_json_type(value)} into Go struct field {path} of type {go_type}")


class Decoder:
    """One pass over one object; ``unknown`` are the paths of the fields that were dropped."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self.unknown: list[str] = []

    def decode(self, value: Any, schema: ReadOnlyJson, name: str, path: str) -> Any:
        """Return ``value`` as what ``schema`` (of that ``name``) makes of it. Raises WrongTypeError, Refusal (400)."""
        if name in _SCHEMA_OR:
            return self._schema_or(value, path)
        if name in (_QUANTITY, _INT_OR_STRING, _TIME, _MICRO_TIME):
            return _special(value, name, path)
        match schema.get("type"):
            case "object":
                return self._object(value, schema, path)
            case "array":
                return self._array(value, schema, path)
            case None:
                return value
            case kind:
                return _scalar(value, kind, schema.get("format", ""), path)

    def _follow(self, value: Any, schema: ReadOnlyJson, path: str) -> Any:
        name, resolved = self._schemas.resolve(schema)
        return self.decode(value, resolved, name, path)

    def _object(self, value: Any, schema: ReadOnlyJson, path: str) -> Json:
        if not isinstance(value, dict):
            raise WrongTypeError(value, path, "struct" if "properties" in schema else "map")
        properties = schema.get("properties")
        values = schema.get("additionalProperties")
        if properties is None and not isinstance(values, dict):
            return value
        result: Json = {}
        for key, inner in value.items():
            below = f"{path}.{key}" if path else key
            inner_schema = properties.get(key) if properties is not None else values
            if inner_schema is None:
                self.unknown.append(below)
            elif inner is None:
                if properties is None:
                    result[key] = _zero(inner_schema)
            else:
                decoded = self._follow(inner, inner_schema, below)
                if not _is_left_out(decoded, inner_schema, key in schema.get("required", ())):
                    result[key] = decoded
        return result

    def _array(self, value: Any, schema: ReadOnlyJson, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise WrongTypeError(value, path, "slice")
        items = schema.get("items", {})
        return [
            _zero(items) if inner is None else self._follow(inner, items, f"{path}[{index}]")
            for index, inner in enumerate(value)
        ]

    def _schema_or(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return self._follow(value, _SCHEMA, path)
        if isinstance(value, list):
            return [self._follow(inner, _SCHEMA, f"{path}[{index}]") for index, inner in enumerate(value)]
        return value


def _zero(schema: ReadOnlyJson) -> Any:
    zeros = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": []}
    return zeros.get(schema.get("type", "object"), {})


def _is_left_out(value: Any, schema: ReadOnlyJson, is_required: bool) -> bool:
    """Whether Go's encoder leaves the value out: an empty list or map that may be absent. An empty struct is there."""
    if value or is_required:
        return False
    is_map = isinstance(value, dict) and "additionalProperties" in schema
    return is_map or isinstance(value, list)


def _special(value: Any, name: str, path: str) -> Any:
    is_text = isinstance(value, str)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == _QUANTITY and (is_text or is_number):
        try:
            return canonical_quantity(str(value))
        except ValueError as error:
            raise bad_request(
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$': "
                f"{path}: {value!r}"
            ) from error
    if name == _INT_OR_STRING and (is_text or (isinstance(value, int) and is_number)):
        return value
    if name in (_TIME, _MICRO_TIME) and is_text:
        if not (_MICRO if name == _MICRO_TIME else _RFC3339).fullmatch(value):
            raise bad_request(f'{path}: parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse it')
        return value
    raise WrongTypeError(value, path, name.rsplit(".", 1)[-1])


def _scalar(value: Any, kind: str, form: str, path: str) -> Any:
    match kind:
        case "string" if isinstance(value, str):
            return _bytes(value, path) if form == "byte" else value
        case "boolean" if isinstance(value, bool):
            return value
        case "integer" if _is_whole(value) and int(value) in (_INT32 if form == "int32" else _INT64):
            return int(value)
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        case _:
            go_type = {"integer": form or "int64", "boolean": "bool", "number": "float64"}.get(kind, kind)
            raise WrongTypeError(value, path, go_type)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _bytes(value: str, path: str) -> str:
    """Return base64 in its canonical form."""
    try:
        return base64.b64encode(base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)).decode()
    except binascii.Error as error:
        raise bad_request(f"illegal base64 data at input byte 0: {path}: {error}") from error


def _json_type(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case dict():
            return "object"
        case list():
            return "array"
        case _:
            return "null"
