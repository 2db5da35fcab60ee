"""The fields of one custom kind in one version: pruning, defaults, validation, rules. Pure."""

from collections.abc import Sequence
from typing import Any

from rayfleet.local.apiserver.grammar.refusal import Cause, bad_request, invalid
from rayfleet.local.apiserver.kinds.kind import MergeRule, ScalePaths
from rayfleet.local.apiserver.kinds.metadata_fields import MetadataFields
from rayfleet.local.apiserver.schema.cel_rules import RuleSet
from rayfleet.local.apiserver.schema.pruning import prune
from rayfleet.local.apiserver.schema.validation import validate
from rayfleet.manifest.structural import ABSENT, with_defaults
from rayfleet.model.json import Json, ReadOnlyJson

_BLOCKING = {
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
}
_NOT_CHECKED = Cause(
    field="<nil>",
    reason="FieldValueInvalid",
    message="Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)
_DESCRIPTIONS = {
    "apiVersion": "APIVersion defines the versioned schema of this representation of an object. Servers should convert "
    "recognized schemas to the latest internal value, and may reject unrecognized values.",
    "kind": "Kind is a string value representing the REST resource this object represents. Servers may infer this from "
    "the endpoint the client submits requests to. Cannot be updated. In CamelCase.",
}
_META_REFERENCE = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class CustomFields:
    """Made once per definition and version."""

    def __init__(
        self, schema: ReadOnlyJson, metadata: MetadataFields, kind: ReadOnlyJson, scale: ScalePaths | None
    ) -> None:
        self._schema = schema
        self._validated = _without_root_type_rules(schema)
        self._metadata = metadata
        self._kind = kind  # group, version, kind
        self._scale = scale
        self._rules = RuleSet(schema)

    def clean(self, manifest: ReadOnlyJson) -> tuple[Json, list[str]]:
        """Return the object without unknown fields, and their paths.

        Raises Refusal (400) for metadata of a wrong type.
        """
        cleaned, unknown = prune(manifest, self._schema)
        if not isinstance(cleaned.get("metadata", {}), dict):
            raise bad_request(f"{self._kind['kind']} cannot be handled: metadata is no object")
        cleaned["metadata"], dropped = self._metadata.clean(cleaned.get("metadata") or {}, self._kind["kind"])
        return cleaned, [*dropped, *unknown]

    def fill(self, manifest: Json) -> None:
        """Put the schema's defaults into the object."""
        filled = with_defaults(manifest, self._schema)
        manifest.clear()
        manifest.update(filled)

    def problems(self, new: ReadOnlyJson, old: ReadOnlyJson | None) -> list[Cause]:
        """Return what the schema, its rules and the scale subresource find wrong."""
        before = ABSENT if old is None else old
        causes = validate(new, self._validated, before)
        if self._scale is not None:
            causes += _replica_problems(new, self._scale)
        if self._rules.has_rules and any(each.reason in _BLOCKING for each in causes):
            return [*causes, _NOT_CHECKED]
        return causes + self._rules.problems(new, old)

    def merge_keys(self, path: Sequence[str]) -> MergeRule | None:
        """Return nothing: strategic merge patches are not offered for custom resources."""
        return None

    def openapi(self) -> Json:
        """Return the schema as published: with apiVersion, kind and metadata, and its kind."""
        properties = {
            **{name: {"type": "string", "description": text} for name, text in _DESCRIPTIONS.items()},
            "metadata": {"description": "Standard object's metadata.", "allOf": [{"$ref": _META_REFERENCE}]},
            **{name: below for name, below in (self._schema.get("properties") or {}).items() if name not in _IMPLIED},
        }
        return {**self._schema, "properties": properties, "x-kubernetes-group-version-kind": [self._kind]}


_IMPLIED = ("apiVersion", "kind", "metadata")


def _without_root_type_rules(schema: ReadOnlyJson) -> Json:
    """Return the schema for validation.

    ApiVersion and kind are judged by the server, not by what the definition repeats of them.
    """
    properties = {
        name: below for name, below in (schema.get("properties") or {}).items() if name not in ("apiVersion", "kind")
    }
    return {**schema, "properties": properties}


def _replica_problems(manifest: ReadOnlyJson, scale: ScalePaths) -> list[Cause]:
    causes: list[Cause] = []
    for path in (scale.spec_replicas, scale.status_replicas):
        value: Any = manifest
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, int) and not isinstance(value, bool) and value < 0:
            causes.append(invalid("." + ".".join(path), value, "should be a non-negative integer"))
    return causes
