"""What the server does to ``metadata``. Pure.

Source: apiserver ``pkg/registry/rest/{create,update,meta}.go`` (v1.36).
"""

from datetime import datetime

from rayfleet.local.apiserver.grammar.refusal import bad_request, conflict, invalid, invalid_object
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.meta import generation_of, is_terminating
from rayfleet.objects.times import encode_time

OUTDATED = "the object has been modified; please apply your changes to the latest version and try again"
_SERVERS_OWN = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_LONGEST_BASE = 58  # of a generated name, before its 5 letters


def check_identity(kind: Kind, manifest: ReadOnlyJson) -> None:
    """Raise Refusal (400, 422) when the object says to be of another kind.

    Of a built-in kind, saying nothing is allowed.
    """
    version, name = manifest.get("apiVersion") or "", manifest.get("kind") or ""
    if kind.is_custom:
        _check_custom_identity(kind, manifest, version, name)
        return
    if version not in ("", kind.api_version) or name not in ("", kind.kind):
        raise bad_request(
            f'{name} in version "{version}" cannot be handled as a {kind.kind}: '
            f'no kind "{name}" is registered for version "{version}" on this path'
        )


def placed(kind: Kind, manifest: ReadOnlyJson, namespace: str) -> Json:
    """Return the object with its parts in the usual order, in the namespace of the request. Raises Refusal (400)."""
    meta = dict(manifest.get("metadata") or {})
    stated = meta.get("namespace", "")
    if stated and stated != namespace and kind.is_namespaced:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    meta.pop("selfLink", None)
    if kind.is_namespaced:
        meta["namespace"] = namespace
    rest = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind", "metadata")}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **rest}


def stamp_new(kind: Kind, manifest: Json, *, uid: str, now: datetime, suffix: str) -> None:
    """Give a new object what only the server gives; in place. ``suffix`` ends a generated name."""
    meta = manifest["metadata"]
    for key in (*_SERVERS_OWN, "resourceVersion"):
        meta.pop(key, None)
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = meta["generateName"][:_LONGEST_BASE] + suffix
    meta["uid"] = uid
    meta["creationTimestamp"] = encode_time(now)
    if kind.rules.has_generation:
        meta["generation"] = 1


def check_update(kind: Kind, new: ReadOnlyJson, old: ReadOnlyJson) -> None:
    """Raise Refusal (409, 422) when ``new`` is based on another state or object than ``old``."""
    asked, meta = new["metadata"], old["metadata"]
    version = asked.get("resourceVersion") or ""
    if not version and not kind.rules.takes_update_without_version:
        cause = invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid_object(kind.group, kind.plural, meta["name"], [cause])
    if version and version != meta["resourceVersion"]:
        raise conflict(kind.group, kind.plural, meta["name"], OUTDATED)
    if asked.get("uid") and asked["uid"] != meta["uid"]:
        raise conflict(
            kind.group,
            kind.plural,
            meta["name"],
            f"Precondition failed: UID in precondition: {asked['uid']}, UID in object meta: {meta['uid']}",
        )


def keep_servers_own(new: Json, old: ReadOnlyJson) -> None:
    """Give ``new`` what of the metadata only the server changes; in place."""
    for key in (*_SERVERS_OWN, "resourceVersion", "name", "namespace", "generateName"):
        if key in old["metadata"]:
            new["metadata"][key] = old["metadata"][key]
        else:
            new["metadata"].pop(key, None)


def raise_generation(kind: Kind, new: Json, old: ReadOnlyJson) -> None:
    """Count the change up when it is one of what is wanted, not of metadata or status; in place."""
    if not kind.rules.has_generation:
        return
    ignored = ("metadata", "status", "apiVersion") if kind.has_status else ("metadata", "apiVersion")
    if _without(new, ignored) != _without(old, ignored):
        new["metadata"]["generation"] = generation_of(old) + 1


def should_go(kind: Kind, new: ReadOnlyJson) -> bool:
    """Whether an update took the last finalizer off an object that is being deleted."""
    meta = new["metadata"]
    if not is_terminating(new) or meta.get("finalizers"):
        return False
    return not kind.rules.is_held(new) and not meta.get("deletionGracePeriodSeconds")


def _check_custom_identity(kind: Kind, manifest: ReadOnlyJson, version: str, name: str) -> None:
    """Custom resources are decoded by what they say, so they have to say it."""
    if not name:
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind.kind}): Object 'Kind' is missing"
        )
    if version != kind.api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({kind.api_version})"
        )
    if name != kind.kind:
        named = (manifest.get("metadata") or {}).get("name", "")
        raise invalid_object(kind.group, name, named, [invalid("kind", name, f"must be {kind.kind}")])


def _without(manifest: ReadOnlyJson, keys: tuple[str, ...]) -> Json:
    return {key: value for key, value in manifest.items() if key not in keys}
