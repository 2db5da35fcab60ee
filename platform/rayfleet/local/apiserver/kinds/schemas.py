"""The published schemas of the built-in kinds, as the API server's own OpenAPI v3 documents state them.

``schemas.json`` holds those of Kubernetes v1.36 (Apache-2.0, the Kubernetes authors) for the kinds that are served
here; it is written by ``python -m rayfleet.local.apiserver.kinds.schemas KUBECONFIG`` from a running kube-apiserver,
and a test compares the two. One source for what decides the fate of a field: its type, whether it is known, how lists
merge, what explain says.
"""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson

from rayfleet.model.json import ReadOnlyJson

PREFIX = "#/components/schemas/"
KINDS: Mapping[str, tuple[str, ...]] = {  # the document's path -> the kinds taken from it
    "api/v1": (
        "Binding",
        "ConfigMap",
        "Event",
        "Namespace",
        "Node",
        "Pod",
        "Secret",
        "Service",
        "ServiceAccount",
    ),
    "apis/apiextensions.k8s.io/v1": ("CustomResourceDefinition",),
    "apis/authentication.k8s.io/v1": ("SelfSubjectReview",),
    "apis/authorization.k8s.io/v1": ("SelfSubjectAccessReview", "SelfSubjectRulesReview"),
    "apis/autoscaling/v1": ("Scale",),
    "apis/coordination.k8s.io/v1": ("Lease",),
    "apis/discovery.k8s.io/v1": ("EndpointSlice",),
    "apis/policy/v1": ("PodDisruptionBudget",),
}
_SHARED = ("DeleteOptions", "ObjectMeta", "ListMeta", "Status")


class Schemas:
    """All schemas by their name, with references followed on demand (some are recursive)."""

    def __init__(self, by_name: Mapping[str, ReadOnlyJson]) -> None:
        self.by_name = by_name
        self._by_kind = {
            (each["group"], each["version"], each["kind"]): name
            for name, schema in by_name.items()
            for each in schema.get("x-kubernetes-group-version-kind", ())
        }

    def name_of(self, group: str, version: str, kind: str) -> str:
        """Return the name of a kind's schema. Raises KeyError."""
        return self._by_kind[group, version, kind]

    def resolve(self, schema: ReadOnlyJson) -> tuple[str, ReadOnlyJson]:
        """Return the name (empty for a schema written in place) and the content of what ``schema`` refers to."""
        reference = schema.get("$ref")
        if reference is None and len(schema.get("allOf", ())) == 1:
            reference = schema["allOf"][0].get("$ref")
        if reference is None:
            return "", schema
        name = reference.removeprefix(PREFIX)
        return name, self.by_name[name]

    def closure(self, names: list[str]) -> dict[str, ReadOnlyJson]:
        """Return the named schemas and all that they refer to."""
        return closure(self.by_name, names)


def load_schemas() -> Schemas:
    """Return the schemas of the file; reading takes some milliseconds, so do it once."""
    text = files(__package__).joinpath("schemas.json").read_bytes()
    return Schemas(orjson.loads(text))


def closure(by_name: Mapping[str, ReadOnlyJson], names: list[str]) -> dict[str, ReadOnlyJson]:
    """Return the named schemas and all that they refer to. Pure."""
    kept: dict[str, ReadOnlyJson] = {}
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in kept:
            kept[name] = by_name[name]
            queue += _references(by_name[name])
    return kept


def extract(documents: Mapping[str, ReadOnlyJson]) -> dict[str, ReadOnlyJson]:
    """Return the schemas that are kept, out of the server's documents by path. Pure."""
    kept: dict[str, ReadOnlyJson] = {}
    for path, kinds in KINDS.items():
        by_name = documents[path]["components"]["schemas"]
        group = path.split("/")[1] if path.startswith("apis/") else ""
        roots = [
            name
            for name, schema in by_name.items()
            if any(
                (each["kind"].removesuffix("List") in kinds and each["group"] == group)
                for each in schema.get("x-kubernetes-group-version-kind", ())
            )
            or name.rsplit(".", 1)[-1] in _SHARED
        ]
        kept |= closure(by_name, roots)
    return {name: _trimmed(kept[name]) for name in sorted(kept)}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(PREFIX)
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _trimmed(schema: ReadOnlyJson) -> ReadOnlyJson:
    """Return the schema without the hundreds of groups in which shared types like DeleteOptions are registered."""
    kinds = schema.get("x-kubernetes-group-version-kind", [])
    kept = [each for each in kinds if each["version"] == "v1" and each["group"] in ("", "autoscaling")]
    return schema if len(kinds) <= 1 else {**schema, "x-kubernetes-group-version-kind": kept[:1]}


async def _refresh(kubeconfig: Path) -> None:
    from rayfleet.kube.config import connect

    async with await connect(kubeconfig) as client:
        documents = {path: orjson.loads(await client.raw("GET", f"/openapi/v3/{path}")) for path in KINDS}
    lines = [f'"{name}":{orjson.dumps(schema).decode()}' for name, schema in extract(documents).items()]
    target = Path(__file__).with_name("schemas.json")
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(_refresh(Path(sys.argv[1])))
