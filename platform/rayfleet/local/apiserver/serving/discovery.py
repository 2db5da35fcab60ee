"""Discovery documents: what is served, in the classic form and the aggregated one. Pure.

Source: Kubernetes API concepts, "Discovery API" (v1.36).
"""

from collections.abc import Iterable

from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.serving.registry import Registry
from rayfleet.model.json import Json

_SUBRESOURCE_KINDS = {  # group, version, kind of the body; everything else has the kind of its parent
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
}


def core_versions(address: str) -> Json:
    """Return the answer of ``/api``."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list(registry: Registry) -> Json:
    """Return the answer of ``/apis``."""
    groups = [_group(group, versions) for group, versions in registry.groups().items() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def one_group(registry: Registry, group: str) -> Json | None:
    """Return the answer of ``/apis/GROUP``; None when it is not served."""
    versions = registry.groups().get(group)
    return (
        None if not group or versions is None else {"kind": "APIGroup", "apiVersion": "v1", **_group(group, versions)}
    )


def resource_list(registry: Registry, group: str, version: str) -> Json | None:
    """Return the answer of a group's version; None when it is not served."""
    kinds = [each for each in registry.kinds() if (each.group, each.version) == (group, version)]
    if not kinds:
        return None
    resources = [entry for kind in kinds for entry in _resources(kind)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": kinds[0].api_version,
        "resources": sorted(resources, key=lambda each: str(each["name"])),
    }


def aggregated(registry: Registry, version: str, *, is_core: bool) -> Json:
    """Return the aggregated document of ``/api`` or ``/apis``; ``version`` is v2 or v2beta1."""
    items = [
        {
            "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
            "versions": [
                {"version": each, "resources": _aggregated_resources(registry, group, each), "freshness": "Current"}
                for each in versions
            ],
        }
        for group, versions in registry.groups().items()
        if (group == "") is is_core
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _group(group: str, versions: Iterable[str]) -> Json:
    listed = [{"groupVersion": f"{group}/{each}", "version": each} for each in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def _resources(kind: Kind) -> list[Json]:
    main: Json = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.is_namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        main["shortNames"] = list(kind.short_names)
    if kind.categories:
        main["categories"] = list(kind.categories)
    if kind.storage_version_hash:
        main["storageVersionHash"] = kind.storage_version_hash
    return [main, *(_subresource(kind, name, verbs) for name, verbs in kind.subresources.items())]


def _subresource(kind: Kind, name: str, verbs: tuple[str, ...]) -> Json:
    entry: Json = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.is_namespaced,
        "kind": kind.kind,
        "verbs": list(verbs),
    }
    if name in _SUBRESOURCE_KINDS:
        group, version, body = _SUBRESOURCE_KINDS[name]
        entry |= {"kind": body} | ({"group": group, "version": version} if group else {})
    return entry


def _aggregated_resources(registry: Registry, group: str, version: str) -> list[Json]:
    kinds = [each for each in registry.kinds() if (each.group, each.version) == (group, version)]
    return [_aggregated_resource(each) for each in sorted(kinds, key=lambda each: each.plural)]


def _aggregated_resource(kind: Kind) -> Json:
    entry: Json = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.is_namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.subresources:
        entry["subresources"] = [
            {"subresource": name, "responseKind": _response_kind(kind, name), "verbs": list(verbs)}
            for name, verbs in kind.subresources.items()
        ]
    return entry


def _response_kind(kind: Kind, name: str) -> Json:
    group, version, body = _SUBRESOURCE_KINDS.get(name, (kind.group, kind.version, kind.kind))
    return {"group": group, "version": version, "kind": body}
