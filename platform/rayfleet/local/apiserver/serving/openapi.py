"""OpenAPI v3 documents, one per group and version: the schemas whole, of the paths what clients read. Pure.

kubectl reads from the paths which kind lies where (``explain``) and which parameters a PATCH takes (``dryRun``,
``fieldValidation``), so these are there.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import orjson

from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.kinds.schemas import PREFIX, Schemas, closure
from rayfleet.local.apiserver.serving.registry import Registry
from rayfleet.model.json import Json, ReadOnlyJson

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_WRITES = ("dryRun", "fieldManager", "fieldValidation")
_APPLY = "application/apply-patch+yaml"
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")
_QUERY = {name: {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in _WRITES}

_NEW_REFERENCE, _OLD_REFERENCE = PREFIX.encode(), b"#/definitions/"
OPENAPI_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
EMPTY_V2: Json = {
    "swagger": "2.0",
    "info": {"title": "rayfleet", "version": "v1"},
    "paths": {},
    "definitions": {},
}
# The same as openapi.v2.Document: field 1 is swagger, field 2 info (1 title, 2 version), field 8 the paths; kubectl
# takes no JSON here.
EMPTY_V2_PROTOBUF = b"\x0a\x032.0" + b"\x12\x0e" + b"\x0a\x08rayfleet" + b"\x12\x02v1" + b"\x42\x00"


class OpenApi:
    """The documents, made when asked for and kept until the kinds change."""

    def __init__(self, registry: Registry, schemas: Schemas) -> None:
        self._registry = registry
        self._schemas = schemas
        self._documents: dict[str, bytes] = {}
        self._revision = -1

    def index(self) -> bytes:
        """Return the answer to ``/openapi/v3``."""
        paths = {}
        for path in self._paths():
            digest = hashlib.sha256(self.document(path) or b"").hexdigest().upper()
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return orjson.dumps({"paths": paths})

    def document(self, path: str) -> bytes | None:
        """Return the document of ``api/v1`` or ``apis/GROUP/VERSION``; None when nothing is served there."""
        if self._revision != self._registry.revision:
            self._documents.clear()
            self._revision = self._registry.revision
        if path not in self._documents:
            kinds = [kind for kind in self._registry.kinds() if _base(kind) == path]
            if not kinds:
                return None
            self._documents[path] = orjson.dumps(document(kinds, self._schemas))
        return self._documents[path]

    def old_document(self) -> bytes:
        """Return the answer to ``/openapi/v2``: all schemas, of the paths nothing."""
        definitions: Json = {}
        for path in self._paths():
            whole = (self.document(path) or b"{}").replace(_NEW_REFERENCE, _OLD_REFERENCE)
            definitions |= _as_before(orjson.loads(whole)["components"]["schemas"])
        return orjson.dumps({**EMPTY_V2, "definitions": definitions})

    def _paths(self) -> list[str]:
        return list(dict.fromkeys(_base(kind) for kind in self._registry.kinds()))


def document(kinds: Iterable[Kind], schemas: Schemas) -> Json:
    """Return the document of the kinds of one group and version."""
    own: dict[str, ReadOnlyJson] = {}
    roots = [f"{_META}{name}" for name in ("ObjectMeta", "ListMeta", "DeleteOptions", "Status")]
    paths: Json = {}
    for kind in kinds:
        name = schema_name(kind, schemas)
        if kind.is_custom:
            own[name] = kind.fields.openapi()
            own[f"{name}List"] = _list_schema(kind, name)
        else:
            roots += [name, f"{name}List"] if "list" in kind.verbs else [name]
        paths |= _paths(kind, name)
    components = closure(schemas.by_name, roots) | own
    return {
        "openapi": "3.0.0",
        "info": {"title": "rayfleet embedded API server", "version": "v1"},
        "paths": paths,
        "components": {"schemas": components},
    }


def _as_before(schema: Any) -> Any:
    """Return a schema as the old document writes it: a reference stands beside its description, not in a list."""
    if isinstance(schema, list):
        return [_as_before(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    parts = schema.get("allOf")
    if isinstance(parts, list) and len(parts) == 1:
        kept = {name: value for name, value in schema.items() if name not in ("allOf", "default")}
        return {**kept, **parts[0]}
    return {name: _as_before(value) for name, value in schema.items()}


def schema_name(kind: Kind, schemas: Schemas) -> str:
    """Return the name of the kind's schema among the document's."""
    if not kind.is_custom:
        return schemas.name_of(kind.group, kind.version, kind.kind)
    return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def _base(kind: Kind) -> str:
    return f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"


def _list_schema(kind: Kind, name: str) -> Json:
    return {
        "type": "object",
        "description": f"{kind.list_kind} is a list of {kind.kind}",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "items": {"type": "array", "items": {"$ref": f"{PREFIX}{name}"}},
            "metadata": {"$ref": f"{PREFIX}{_META}ListMeta"},
        },
        "x-kubernetes-group-version-kind": [{"group": kind.group, "version": kind.version, "kind": kind.list_kind}],
    }


def _paths(kind: Kind, name: str) -> Json:
    scope = "/namespaces/{namespace}" if kind.is_namespaced else ""
    collection = f"/{_base(kind)}{scope}/{kind.plural}"
    if kind.review is not None:
        return {collection: {"post": _operation(kind, "post", name)}}
    paths = {
        collection: {"get": _operation(kind, "list", f"{name}List"), "post": _operation(kind, "post", name)},
        f"{collection}/{{name}}": _object_operations(kind, name),
    }
    for subresource in ("status", "scale"):
        if subresource in kind.subresources:
            paths[f"{collection}/{{name}}/{subresource}"] = _object_operations(kind, name, is_whole=False)
    return paths


def _object_operations(kind: Kind, name: str, *, is_whole: bool = True) -> Json:
    operations = {verb: _operation(kind, verb, name) for verb in ("get", "put", "patch")}
    if is_whole:
        operations["delete"] = _operation(kind, "delete", f"{_META}Status")
    return operations


def _operation(kind: Kind, verb: str, answer: str) -> Json:
    content = {"application/json": {"schema": {"$ref": f"{PREFIX}{answer}"}}}
    operation: Json = {
        "responses": {"200": {"description": "OK", "content": content}},
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
    }
    if verb in ("post", "put", "patch", "delete"):
        operation["parameters"] = [_QUERY[each] for each in _WRITES if verb != "delete" or each == "dryRun"]
    if verb == "patch":
        types = (*(_PATCHES[:2] if kind.is_custom else _PATCHES), _APPLY)
        operation["requestBody"] = {"content": {each: {"schema": {"type": "object"}} for each in types}}
    return operation
