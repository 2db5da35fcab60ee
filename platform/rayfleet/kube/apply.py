"""Create an object or merge into the one that is there, as ``kubectl apply`` does for a first approximation.

Used by the command line and to install CRDs. A field that a manifest no longer names stays (kubectl keeps a copy of the
last manifest for that; server-side apply is for clusters that have it).
"""

from collections.abc import Mapping
from enum import StrEnum

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, NotFound
from rayfleet.model import resources
from rayfleet.model.errors import FieldError, ManifestError
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import key_of, version_of

_KNOWN: Mapping[tuple[str, str], ResourceType] = {
    (resource.api_version, resource.kind): resource
    for resource in vars(resources).values()
    if isinstance(resource, ResourceType)
}


class Applied(StrEnum):
    """What ``apply_object`` did, in kubectl's words."""

    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"


def resource_of(manifest: ReadOnlyJson) -> ResourceType:
    """Return the resource type that a manifest is of.

    Pure. Raises ManifestError for kinds that rayfleet does not know.
    """
    kind = str(manifest.get("kind") or "")
    resource = _KNOWN.get((str(manifest.get("apiVersion") or ""), kind))
    if resource is None:
        known = ", ".join(sorted(f"{each.kind} ({each.api_version})" for each in _KNOWN.values()))
        message = f"{kind!r} of {manifest.get('apiVersion')!r} is not a kind that rayfleet applies; it knows {known}"
        raise ManifestError(f"{kind or 'object'}", [FieldError(path="kind", message=message)])
    return resource


async def apply_object(
    client: KubeClient, manifest: ReadOnlyJson, resource: ResourceType | None = None
) -> tuple[Applied, Json]:
    """Create the object, or merge ``manifest`` into it; return what was done and the object as stored.

    The namespace is the manifest's; ``default`` is filled in for a namespaced kind without one. Raises ManifestError,
    ApiError.
    """
    resource = resource or resource_of(manifest)
    if resource.is_namespaced and not manifest["metadata"].get("namespace"):
        manifest = {**manifest, "metadata": {**manifest["metadata"], "namespace": "default"}}
    key = key_of(manifest)
    try:
        before = await client.get(resource, key.name, key.namespace)
    except NotFound:
        try:
            return Applied.CREATED, await client.create(resource, manifest)
        except AlreadyExists:
            before = await client.get(resource, key.name, key.namespace)
    stored = await client.patch(resource, key, manifest)
    is_same = version_of(stored) == version_of(before)
    return (Applied.UNCHANGED if is_same else Applied.CONFIGURED), stored
