"""What a built-in kind's schema makes of an object. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rayfleet.local.apiserver.grammar.refusal import Cause, bad_request, unsupported
from rayfleet.local.apiserver.kinds.decoding import Decoder, WrongTypeError
from rayfleet.local.apiserver.kinds.kind import MergeRule
from rayfleet.local.apiserver.kinds.schemas import Schemas
from rayfleet.model.json import Json, ReadOnlyJson


class BuiltinFields:
    """The fields of one built-in kind; ``defaults`` are what the schema does not say."""

    def __init__(self, schemas: Schemas, name: str, defaults: Callable[[Json], None]) -> None:
        self._schemas = schemas
        self._name = name
        self._defaults = defaults
        self._kind = schemas.by_name[name]["x-kubernetes-group-version-kind"][0]

    def clean(self, manifest: ReadOnlyJson) -> tuple[Json, list[str]]:
        """Return the object as typed data, and the paths of unknown fields. Raises Refusal (400) for a wrong type."""
        decoder = Decoder(self._schemas)
        try:
            cleaned = decoder.decode(manifest, self._schemas.by_name[self._name], self._name, "")
        except WrongTypeError as error:
            kind, version = self._kind["kind"], self._kind["version"]
            raise bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: json: {error}') from error
        return cleaned, decoder.unknown

    def fill(self, manifest: Json) -> None:
        """Put the kind's defaults into the object."""
        self._defaults(manifest)

    def problems(self, new: ReadOnlyJson, old: ReadOnlyJson | None) -> list[Cause]:
        """Return values outside their enumeration; status is not looked at, as nobody checks it."""
        properties = self._schemas.by_name[self._name]["properties"]
        checked = [key for key in new if key in properties and key not in ("metadata", "status")]
        return [cause for key in checked for cause in self._enum_problems(new[key], properties[key], key)]

    def merge_keys(self, path: Sequence[str]) -> MergeRule | None:
        """Return how a strategic merge patch treats what lies at ``path``."""
        schema: ReadOnlyJson = self._schemas.by_name[self._name]
        for part in path:
            _, resolved = self._schemas.resolve(schema)
            below = resolved.get("items") if part == "*" else resolved.get("properties", {}).get(part)
            below = below if below is not None else resolved.get("additionalProperties")
            if not isinstance(below, dict):
                return None
            schema = below
        strategy = schema.get("x-kubernetes-patch-strategy")
        if not strategy:
            return None
        return MergeRule(strategies=frozenset(strategy.split(",")), key=schema.get("x-kubernetes-patch-merge-key", ""))

    def openapi(self) -> ReadOnlyJson:
        """Return the published schema."""
        return self._schemas.by_name[self._name]

    def _enum_problems(self, value: Any, schema: ReadOnlyJson, path: str) -> Iterator[Cause]:
        _, resolved = self._schemas.resolve(schema)
        if isinstance(value, dict):
            for key, inner in value.items():
                below = resolved.get("properties", {}).get(key) or resolved.get("additionalProperties")
                if isinstance(below, dict):
                    yield from self._enum_problems(inner, below, f"{path}.{key}")
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield from self._enum_problems(inner, resolved.get("items", {}), f"{path}[{index}]")
        elif value and "enum" in schema and value not in schema["enum"]:
            yield unsupported(path, value, schema["enum"])
