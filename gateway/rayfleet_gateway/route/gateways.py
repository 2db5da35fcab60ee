"""Gateways and which routes are attached to them: listeners, namespaces, host names. Pure.

Ours are those of the class ``rayfleet``, or the one that the gateway was started for. A route is used for the host
names that it shares with the listeners it is attached to. A route for a Gateway that is not there, or for none, belongs
to nobody: a gateway that was not started for a certain one takes it as it stands, so a manifest written for another
gateway serves on one machine. Source: Gateway API v1.6, ParentReference, Listener, HTTPRouteSpec.hostnames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import GATEWAY_API, HTTP_ROUTES
from rayfleet.objects.gateways import class_of_gateway
from rayfleet.objects.routes import ParentReference, parent_references
from rayfleet_gateway.model.errors import Unusable
from rayfleet_gateway.route.fields import Field
from rayfleet_gateway.route.reading import read_hostname

GATEWAY_CLASS = "rayfleet"
CONTROLLER = "rayfleet.dev/gateway"
_MOST_LISTENERS = 64
_MOST_PARENTS = 32
_MOST_KINDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One listener; ``refusal``: reason and message why it serves nothing, None when it does."""

    name: str
    port: int
    hostname: str
    takes_all_namespaces: bool
    refusal: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySpec:
    """A Gateway as far as routes are concerned; ``refusals``: why a listener, or all of it, cannot be read."""

    key: ObjectKey
    is_ours: bool
    listeners: tuple[Listener, ...] = ()
    refusals: tuple[Unusable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """One parent of a route that is a Gateway of ours.

    ``refusal``: reason and message why it does not take the route; ``listeners`` are the names of those that do.
    """

    reference: ParentReference
    gateway: ObjectKey
    listeners: tuple[str, ...] = ()
    refusal: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """Where a route is attached: its parents of ours, and the host names it is used for (an empty one: any).

    No host names: it is not used at all.
    """

    parents: tuple[Parent, ...] = ()
    hostnames: tuple[str, ...] = ()


def read_gateway(key: ObjectKey, gateway: ReadOnlyJson, only: ObjectKey | None) -> GatewaySpec:
    """Return a Gateway; ``only`` is the one that this process was started for, None: any of our class."""
    is_ours = class_of_gateway(gateway) == GATEWAY_CLASS if only is None else key == only
    listeners: list[Listener] = []
    refusals: list[Unusable] = []
    if not is_ours:
        return GatewaySpec(key=key, is_ours=False)
    try:
        for each in Field(gateway, "").at("spec").at("listeners").items(_MOST_LISTENERS):
            try:
                listeners.append(_read_listener(each))
            except Unusable as refusal:
                refusals.append(refusal)
    except Unusable as refusal:
        refusals.append(refusal)
    return GatewaySpec(key=key, is_ours=True, listeners=tuple(listeners), refusals=tuple(refusals))


def attachment(
    route: ReadOnlyJson,
    key: ObjectKey,
    hostnames: Sequence[str],
    gateways: Mapping[ObjectKey, GatewaySpec],
    only: ObjectKey | None,
) -> Attachment:
    """Return where the route at ``key`` with these host names is attached."""
    parents: list[Parent] = []
    shared: list[str] = []
    is_for_others = False
    for reference in parent_references(route)[:_MOST_PARENTS]:
        named = reference.gateway
        gateway = gateways.get(named) if named is not None else None
        if gateway is None or not gateway.is_ours:
            is_for_others = is_for_others or gateway is not None
            continue
        parent, names = _attached(reference, gateway, key.namespace, hostnames)
        parents.append(parent)
        shared.extend(names)
    if not parents and not is_for_others and only is None:
        shared.extend(hostnames or ("",))
    return Attachment(parents=tuple(parents), hostnames=tuple(dict.fromkeys(shared)))


def shared_hostname(one: str, other: str) -> str | None:
    """Return the host names that two names, perhaps with ``*.``, have in common; empty: any; None: none.

    ``*.example.org`` and ``a.example.org`` share ``a.example.org``.
    """
    if not one or not other:
        return one or other
    if one == other or (one.startswith("*.") and other.endswith(one[1:])):
        return other
    return one if other.startswith("*.") and one.endswith(other[1:]) else None


def _read_listener(raw: Field) -> Listener:
    allowed = raw.at("allowedRoutes")
    namespaces = allowed.at("namespaces").at("from").text("Same")
    protocol = raw.at("protocol").text("HTTP")
    refusal: tuple[str, str] | None = None
    if protocol != "HTTP":
        refusal = "UnsupportedProtocol", f"the protocol {protocol:.40} is not supported: only HTTP is"
    elif namespaces not in {"All", "Same", "None"}:
        refusal = "UnsupportedValue", f"allowedRoutes.namespaces.from {namespaces:.40} is not supported"
    elif not _takes_routes(allowed.at("kinds")):
        refusal = "InvalidRouteKinds", "allowedRoutes.kinds leaves out HTTPRoute"
    elif namespaces == "None":
        refusal = "NotAllowedByListeners", "takes no routes"
    return Listener(
        name=raw.at("name").text(),
        port=raw.at("port").number(least=1, most=65535),
        hostname=read_hostname(raw.at("hostname")) if raw.at("hostname").value else "",
        takes_all_namespaces=namespaces == "All",
        refusal=refusal,
    )


def _takes_routes(kinds: Field) -> bool:
    listed = [
        (each.at("group").text(GATEWAY_API), each.at("kind").text(HTTP_ROUTES.kind))
        for each in kinds.items(_MOST_KINDS)
    ]
    return not listed or (GATEWAY_API, HTTP_ROUTES.kind) in listed


def _attached(
    reference: ParentReference, gateway: GatewaySpec, namespace: str, hostnames: Sequence[str]
) -> tuple[Parent, list[str]]:
    """Return the parent, and the host names that the route has there."""
    section, port = reference.section_name, reference.port

    def refused(reason: str, message: str) -> tuple[Parent, list[str]]:
        return Parent(reference=reference, gateway=gateway.key, refusal=(reason, message)), []

    named = [
        listener
        for listener in gateway.listeners
        if (not section or listener.name == section) and (not port or listener.port == port)
    ]
    if not named:
        return refused("NoMatchingParent", f"Gateway {gateway.key} has no listener {section or port or ''}".rstrip())
    allowed = [
        listener
        for listener in named
        if listener.refusal is None and (listener.takes_all_namespaces or namespace == gateway.key.namespace)
    ]
    if not allowed:
        refusal = next((listener.refusal for listener in named if listener.refusal), None)
        why = refusal[1] if refusal else f"routes of namespace {namespace} are not allowed"
        return refused("NotAllowedByListeners", f"Gateway {gateway.key}: {why}")
    taking: list[str] = []
    shared: list[str] = []
    for listener in allowed:
        names = [shared_hostname(listener.hostname, hostname) for hostname in (hostnames or ("",))]
        common = [name for name in names if name is not None]
        if common:
            taking.append(listener.name)
            shared.extend(common)
    if not taking:
        return refused("NoMatchingListenerHostname", f"no listener of Gateway {gateway.key} has one of the host names")
    return Parent(reference=reference, gateway=gateway.key, listeners=tuple(taking)), shared
