"""What routes and Gateways are told of themselves: ``status.parents``, ``status.listeners`` and conditions. Pure.

Only entries of ours are written, only for Gateways of ours, and only when something is different for somebody who reads
them: several gateways that see the same objects write the same. Source: Gateway API v1.6, RouteParentStatus,
RouteConditionType and RouteConditionReason, ListenerStatus.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import GATEWAY_API, GATEWAYS, HTTP_ROUTES
from rayfleet.objects.conditions import since
from rayfleet.objects.meta import generation_of
from rayfleet.objects.parts import mappings, part
from rayfleet_gateway.model.errors import Unusable
from rayfleet_gateway.route.gateways import CONTROLLER, GATEWAY_CLASS, GatewaySpec, Listener, Parent, gateway_of
from rayfleet_gateway.route.one_route import CompiledRoute

_MOST_PARENTS = 32
_MOST_LETTERS = 4096  # of a message
_Row = tuple[str, bool, str, str]  # condition, whether it holds, reason, message


def route_status(route: ReadOnlyJson, compiled: CompiledRoute, namespace: str, now: datetime) -> Json | None:
    """Return the status that a route ought to have, None when nothing in it is to change."""
    current = mappings(part(route, "status").get("parents"))
    spoken_of = [_identity(each, namespace) for each in mappings(part(route, "spec").get("parentRefs"))]
    judged = {_identity(parent.reference, namespace): parent for parent in compiled.attachment.parents}
    entries: list[Json] = []
    for entry in current:
        identity = _identity(part(entry, "parentRef"), namespace)
        is_ours = entry.get("controllerName") == CONTROLLER
        parent = judged.pop(identity, None) if is_ours else None
        if parent is not None:
            entries.append(_parent_status(route, compiled, parent, entry, now))
        elif not is_ours or identity in spoken_of:
            entries.append(entry)
    entries += [_parent_status(route, compiled, parent, {}, now) for parent in judged.values()]
    entries = entries[:_MOST_PARENTS]
    return None if entries == current else {"parents": entries}


def attached_routes(routes: Iterable[CompiledRoute]) -> Counter[tuple[ObjectKey, str]]:
    """Return how many routes are attached to each listener, by Gateway and name."""
    return Counter(
        place
        for route in routes
        for place in {(parent.gateway, name) for parent in route.attachment.parents for name in parent.listeners}
    )


def gateway_status(
    gateway: ReadOnlyJson, spec: GatewaySpec, attached: Mapping[tuple[ObjectKey, str], int], now: datetime
) -> Json | None:
    """Return what of a Gateway's status ought to change, None when nothing, or when another class's is the word."""
    if part(gateway, "spec").get("gatewayClassName") != GATEWAY_CLASS:
        return None
    current = part(gateway, "status")
    is_sound = not spec.refusals and all(listener.refusal is None for listener in spec.listeners)
    why = _sentence(spec.refusals) or "A listener is not served: see status.listeners."
    rows: list[_Row] = [
        ("Accepted", True, *(("Accepted", "The Gateway is served.") if is_sound else ("ListenersNotValid", why))),
        ("Programmed", True, "Programmed", "Routes of the Gateway are in use."),
    ]
    desired: Json = {
        "conditions": _conditions(mappings(current.get("conditions")), rows, generation_of(gateway), now),
        "listeners": [_listener_status(gateway, spec, listener, attached, now) for listener in spec.listeners],
    }
    return None if desired.items() <= current.items() else desired


def _identity(reference: ReadOnlyJson, namespace: str) -> tuple[str, ...]:
    gateway = gateway_of(reference, namespace)
    kind = (str(reference.get("group", GATEWAY_API)), str(reference.get("kind", GATEWAYS.kind)))
    place = (str(reference.get("sectionName") or ""), str(reference.get("port") or ""))
    return (*kind, gateway.namespace, gateway.name, *place)


def _parent_status(
    route: ReadOnlyJson, compiled: CompiledRoute, parent: Parent, entry: ReadOnlyJson, now: datetime
) -> Json:
    rows = [_accepted(compiled, parent), _resolved(compiled)]
    if compiled.refusals and compiled.parts.rules:
        message = f"Dropped Rule(s): {_sentence(compiled.refusals)}"
        rows.append(("PartiallyInvalid", True, "UnsupportedValue", message[:_MOST_LETTERS]))
    current = [each for each in mappings(entry.get("conditions")) if each.get("type") != "PartiallyInvalid"]
    if len(rows) > 2:
        current = mappings(entry.get("conditions"))
    return {
        "parentRef": dict(parent.reference),
        "controllerName": CONTROLLER,
        "conditions": _conditions(current, rows, generation_of(route), now),
    }


def _accepted(compiled: CompiledRoute, parent: Parent) -> _Row:
    if parent.refusal is not None:
        return "Accepted", False, *parent.refusal
    if compiled.refusals and not compiled.parts.rules:
        return "Accepted", False, compiled.refusals[0].reason, _sentence(compiled.refusals)
    return "Accepted", True, "Accepted", "The route is in use."


def _resolved(compiled: CompiledRoute) -> _Row:
    if compiled.unresolved:
        return "ResolvedRefs", False, compiled.unresolved[0].reason, _sentence(compiled.unresolved)
    return "ResolvedRefs", True, "ResolvedRefs", "All references are valid."


def _sentence(errors: Sequence[Unusable]) -> str:
    return "; ".join(f"{error.field}: {error.message}" for error in errors)[:_MOST_LETTERS]


def _conditions(current: list[Json], rows: Sequence[_Row], generation: int, now: datetime) -> list[Json]:
    """Return the conditions, ours in the place of those of their type; a time moves only with the status."""
    made = {
        name: {
            "type": name,
            "status": "True" if holds else "False",
            "reason": reason,
            "message": message,
            "observedGeneration": generation,
            "lastTransitionTime": since(current, name, "True" if holds else "False", now),
        }
        for name, holds, reason, message in rows
    }
    kept = [made.pop(str(each.get("type")), each) for each in current]
    return [*kept, *made.values()]


def _listener_status(
    gateway: ReadOnlyJson,
    spec: GatewaySpec,
    listener: Listener,
    attached: Mapping[tuple[ObjectKey, str], int],
    now: datetime,
) -> Json:
    entries = mappings(part(gateway, "status").get("listeners"))
    current = next((each for each in entries if each.get("name") == listener.name), {})
    why = listener.refusal if listener.refusal and listener.refusal[0] != "NotAllowedByListeners" else None
    rows: list[_Row] = [
        ("Accepted", why is None, *(why or ("Accepted", "The listener is served."))),
        ("Programmed", why is None, *(("Invalid", why[1]) if why else ("Programmed", "The listener is served."))),
        ("ResolvedRefs", True, "ResolvedRefs", "All references are valid."),
    ]
    return {
        "name": listener.name,
        "supportedKinds": [{"group": GATEWAY_API, "kind": HTTP_ROUTES.kind}],
        "attachedRoutes": attached.get((spec.key, listener.name), 0),
        "conditions": _conditions(mappings(current.get("conditions")), rows, generation_of(gateway), now),
    }
