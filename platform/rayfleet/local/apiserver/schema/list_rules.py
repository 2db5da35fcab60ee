"""What ``x-kubernetes-list-type``, ``-list-map-keys`` and ``-map-type`` ask of the schema they stand in. Pure.

As ``apiextensions-apiserver/pkg/apis/apiextensions/validation`` of Kubernetes 1.36, with the messages.
"""

from collections.abc import Iterator

from rayfleet.local.apiserver.grammar.refusal import Cause, forbidden_field, required
from rayfleet.local.apiserver.schema.validation import invalid, shown
from rayfleet.manifest.structural import LIST_MAP_KEYS, LIST_TYPE, MAP_TYPE
from rayfleet.model.json import ReadOnlyJson


def list_and_map_problems(schema: ReadOnlyJson, at: str) -> Iterator[Cause]:
    """Tell what is wrong at one node of a schema."""
    yield from _of_type(schema, at, MAP_TYPE, "object", ("atomic", "granular"))
    yield from _of_type(schema, at, LIST_TYPE, "array", ("atomic", "set", "map"))
    items = schema.get("items")
    list_type = schema.get(LIST_TYPE)
    if schema.get(LIST_MAP_KEYS) and list_type != "map":
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield invalid(f"{at}.{LIST_TYPE}", list_type, text) if list_type else required(f"{at}.{LIST_TYPE}", text)
    if list_type == "map" and not schema.get(LIST_MAP_KEYS):
        yield required(f"{at}.{LIST_MAP_KEYS}", "must not be empty if x-kubernetes-list-type is map")
    if not isinstance(items, dict) or list_type not in {"set", "map"}:
        return
    if items.get("nullable"):
        text = f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        yield forbidden_field(f"{at}.items.nullable", text)
    if list_type == "set":
        yield from _set_item_problems(items, f"{at}.items")
    else:
        yield from _map_item_problems(schema, items, at)


def _of_type(schema: ReadOnlyJson, at: str, name: str, type_name: str, allowed: tuple[str, ...]) -> Iterator[Cause]:
    value = schema.get(name)
    if value is None:
        return
    if schema.get("type") != type_name:
        text = f"must be {type_name} if {name} is specified"
        stated = schema.get("type")
        yield invalid(f"{at}.type", stated, text) if stated else required(f"{at}.type", text)
    if value not in allowed:
        listed = ", ".join(map(shown, allowed))
        message = f"Unsupported value: {shown(value)}: supported values: {listed}"
        yield Cause(field=f"{at}.{name}", reason="FieldValueNotSupported", message=message)


def _set_item_problems(items: ReadOnlyJson, at: str) -> Iterator[Cause]:
    text = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if items.get("type") == "array" and items.get(LIST_TYPE, "atomic") != "atomic":
        yield invalid(f"{at}.{LIST_TYPE}", items[LIST_TYPE], text)
    if items.get("type") == "object" and items.get(MAP_TYPE) != "atomic":
        yield invalid(f"{at}.{MAP_TYPE}", items.get(LIST_TYPE), text)  # the API server shows the list type, too


def _map_item_problems(schema: ReadOnlyJson, items: ReadOnlyJson, at: str) -> Iterator[Cause]:
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid(f"{at}.items.type", items.get("type", ""), text)
        return
    keys = schema.get(LIST_MAP_KEYS, [])
    properties = items.get("properties", {})
    for index, key in enumerate(keys):
        below = f"{at}.items.properties[{key}]"
        if key not in properties:
            yield invalid(f"{at}.{LIST_MAP_KEYS}", keys, "entries must all be names of item properties")
        if key in keys[:index]:
            yield invalid(f"{at}.{LIST_MAP_KEYS}", keys, "must not contain duplicate entries")
        stated = properties.get(key, {})
        if stated.get("type") in {"array", "object"}:
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield invalid(f"{below}.type", items["type"], text)
        if key in properties and key not in items.get("required", ()) and stated.get("default") is None:
            text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            yield required(f"{below}.default", text)
        if stated.get("nullable"):
            text = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            yield forbidden_field(f"{below}.nullable", text)
