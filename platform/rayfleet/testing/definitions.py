"""CustomResourceDefinitions for tests: read from files as others publish them, created, and waited for."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

import yaml

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, NotFound
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import CRDS
from rayfleet.objects.parts import mappings, part
from rayfleet.testing.waiting import LIMIT_SECONDS, until


def read_definitions(files: Iterable[Path]) -> list[Json]:
    """Return the definitions, one a file. KubeRay's are 3 MB: 10 s by PyYAML's loader in Python."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [yaml.load(file.read_text(encoding="utf-8"), Loader=loader) for file in files]  # noqa: S506 - both are safe


def schema_of(definition: ReadOnlyJson, version: str) -> ReadOnlyJson:
    """Return the schema of one version. Raises KeyError when the definition has no such version."""
    return part(_versions(definition)[version], "schema", "openAPIV3Schema")


def with_schema(definition: ReadOnlyJson, schema: ReadOnlyJson) -> Json:
    """Return the definition with one schema for all its versions."""
    versions = [{**each, "schema": {"openAPIV3Schema": schema}} for each in _versions(definition).values()]
    return {**definition, "spec": {**part(definition, "spec"), "versions": versions}}


async def install(client: KubeClient, definitions: Iterable[ReadOnlyJson], limit: float = LIMIT_SECONDS) -> None:
    """Create what is not there yet, and return when every kind is served. Raises NotInTime."""
    paths = []
    for definition in definitions:
        with contextlib.suppress(AlreadyExists):
            await client.create(CRDS, definition)
        paths += _served_paths(definition)

    async def missing() -> list[str]:
        return [path for path in paths if not await _is_served(client, path)]

    await until(missing, "all kinds are served", limit, holds=lambda left: not left)


def _served_paths(definition: ReadOnlyJson) -> list[str]:
    spec = part(definition, "spec")
    plural = part(spec, "names")["plural"]
    return [f"/apis/{spec['group']}/{name}/{plural}" for name, each in _versions(definition).items() if each["served"]]


def _versions(definition: ReadOnlyJson) -> dict[str, Json]:
    return {each["name"]: each for each in mappings(part(definition, "spec").get("versions"))}


async def _is_served(client: KubeClient, path: str) -> bool:
    try:
        await client.raw("GET", path, query={"limit": "1"})
    except NotFound:
        return False
    return True
