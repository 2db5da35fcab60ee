"""Create an object or bring the one that is there to what a manifest says, as ``kubectl apply`` does.

On the client's side, with kubectl's own annotation (``three_way`` has the rule): a user may take turns with
``kubectl apply``, which warns without it. Used by the command line and to install CRDs.
"""

import contextlib
from collections.abc import Mapping
from enum import StrEnum

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, Conflict, NotFound
from rayfleet.kube.three_way import LIST_KEYS, last_applied, patched, remembering, three_way_patch
from rayfleet.model import resources
from rayfleet.model.errors import FieldError, ManifestError
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import ResourceType
from rayfleet.objects.labels import LAST_APPLIED_ANNOTATION
from rayfleet.objects.meta import annotation, key_of, namespace_of, version_of
from rayfleet.objects.parts import copied, mapping, part

_KNOWN: Mapping[tuple[str, str], ResourceType] = {
    (resource.api_version, resource.kind): resource
    for resource in vars(resources).values()
    if isinstance(resource, ResourceType)
}

_ATTEMPTS = 5  # as kubectl
_WRITE_NOTES = frozenset({"resourceVersion", "generation", "managedFields"})


class Applied(StrEnum):
    """What ``apply_object`` did, in kubectl's words."""

    CREATED = "created"
    CONFIGURED = "configured"
    TAKEN_UP = "configured; it was not made by apply, so what is not in the manifest stays"
    UNCHANGED = "unchanged"


class DryRun(StrEnum):
    """How far a change goes: to the end, to the server without being stored, or not even there."""

    NONE = "none"
    SERVER = "server"
    CLIENT = "client"


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
    client: KubeClient,
    manifest: ReadOnlyJson,
    resource: ResourceType | None = None,
    *,
    dry_run: DryRun = DryRun.NONE,
) -> tuple[Applied, Json]:
    """Create or change the object; return what was done and the object as stored.

    A dry run stores nothing and returns what would be; the server's word, with its checks and defaults, or our own.
    What left the manifest since it was applied last is removed; an object that was never applied only gains. The
    namespace is the manifest's; ``default`` is filled in for a namespaced kind without one. Raises ManifestError,
    ApiError.
    """
    resource = resource or resource_of(manifest)
    if resource.is_namespaced and not namespace_of(manifest):
        manifest = {**manifest, "metadata": {**mapping(manifest.get("metadata")), "namespace": "default"}}
    now = remembering(manifest)
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(AlreadyExists, Conflict):  # somebody was quicker: look again
            return await _applied(client, resource, now, dry_run)
    return await _applied(client, resource, now, dry_run)


async def _applied(
    client: KubeClient, resource: ResourceType, now: ReadOnlyJson, dry_run: DryRun
) -> tuple[Applied, Json]:
    key = key_of(now)
    is_dry = dry_run is not DryRun.NONE
    try:
        live = await client.get(resource, key.name, key.namespace)
    except NotFound:
        if dry_run is DryRun.CLIENT:
            return Applied.CREATED, copied(now)
        return Applied.CREATED, await client.create(resource, now, dry_run=is_dry)
    list_keys = LIST_KEYS.get(resource, {})
    patch = three_way_patch(last_applied(live), now, live, list_keys)
    if not patch:
        return Applied.UNCHANGED, live
    if dry_run is DryRun.CLIENT:
        return Applied.CONFIGURED, patched(live, patch)
    if list_keys:  # a list that is merged here may have changed there
        patch.setdefault("metadata", {})["resourceVersion"] = version_of(live)
    stored = await client.patch(resource, key, patch, dry_run=is_dry)
    # A dry run gives no new version.
    is_same = version_of(stored) == version_of(live) and (not is_dry or _content(stored) == _content(live))
    if is_same:
        return Applied.UNCHANGED, stored
    is_first = bool(annotation(now, LAST_APPLIED_ANNOTATION)) and not annotation(live, LAST_APPLIED_ANNOTATION)
    return (Applied.TAKEN_UP if is_first else Applied.CONFIGURED), stored


def _content(raw: ReadOnlyJson) -> Json:
    """Return an object without what a server notes of each write."""
    meta = {name: value for name, value in part(raw, "metadata").items() if name not in _WRITE_NOTES}
    return {**raw, "metadata": meta}
