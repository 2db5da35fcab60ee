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
from rayfleet.model.resources import GATEWAY_API, HTTP_ROUTES
from rayfleet.objects.conditions import conditions_of, entry_of, since
from rayfleet.objects.gateways import class_of_gateway
from rayfleet.objects.meta import generation_of
from rayfleet.objects.parts import entries, part
from rayfleet.objects.routes import parent_references, parent_statuses
from rayfleet_gateway.model.errors import Unusable
from rayfleet_gateway.route.gateways import CONTROLLER, GATEWAY_CLASS, GatewaySpec, Listener, Parent
from rayfleet_gateway.route.one_route import CompiledRoute

_MOST_PARENTS = 32
_MOST_LETTERS = 4096  # of a message
_Row = tuple[str, bool, str, str]  # condition, whether it holds, reason, message


def route_status(route: ReadOnlyJson, compiled: CompiledRoute, now: datetime) -> Json | None:
    """Return the status that a route ought to have, None when nothing in it is to change."""
    current = parent_statuses(route)
    references = parent_references(route)
    judged = {parent.reference: parent for parent in compiled.attachment.parents}
    parents: list[Json] = []
    for reference, controller, entry in current:
        parent = judged.pop(reference, None) if controller == CONTROLLER else None
        if parent is not None:
            parents.append(_parent_status(route, compiled, parent, entry, now))
        elif controller != CONTROLLER or reference in references:
            parents.append(entry)
    parents += [_parent_status(route, compiled, parent, {}, now) for parent in judged.values()]
    parents = parents[:_MOST_PARENTS]
    return None if parents == [entry for _, _, entry in current] else {"parents": parents}


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
    if class_of_gateway(gateway) != GATEWAY_CLASS:
        return None
    current = part(gateway, "status")
    is_sound = not spec.refusals and all(listener.refusal is None for listener in spec.listeners)
    why = _sentence(spec.refusals) or "A listener is not served: see status.listeners."
    rows: list[_Row] = [
        ("Accepted", True, *(("Accepted", "The Gateway is served.") if is_sound else ("ListenersNotValid", why))),
        ("Programmed", True, "Programmed", "Routes of the Gateway are in use."),
    ]
    desired: Json = {
        "conditions": _conditions(conditions_of(gateway), rows, generation_of(gateway), now),
        "listeners": [_listener_status(gateway, spec, listener, attached, now) for listener in spec.listeners],
    }
    return None if desired.items() <= current.items() else desired


def _parent_status(
    route: ReadOnlyJson, compiled: CompiledRoute, parent: Parent, entry: ReadOnlyJson, now: datetime
) -> Json:
    rows = [row(compiled, parent) for row in _ALWAYS]
    if compiled.refusals and compiled.lines:
        message = f"Dropped Rule(s): {_sentence(compiled.refusals)}"
        rows.append(("PartiallyInvalid", True, "UnsupportedValue", message[:_MOST_LETTERS]))
    current = entries(entry, "conditions")
    if len(rows) == len(_ALWAYS):
        current = [each for each in current if each != entry_of(current, "PartiallyInvalid")]
    return {
        "parentRef": dict(parent.reference.raw),
        "controllerName": CONTROLLER,
        "conditions": _conditions(current, rows, generation_of(route), now),
    }


def _accepted(compiled: CompiledRoute, parent: Parent) -> _Row:
    if parent.refusal is not None:
        return "Accepted", False, *parent.refusal
    if compiled.refusals and not compiled.lines:
        return "Accepted", False, compiled.refusals[0].reason, _sentence(compiled.refusals)
    remarks = f" {_sentence(compiled.remarks)}." if compiled.remarks else ""
    return "Accepted", True, "Accepted", f"The route is in use.{remarks}"[:_MOST_LETTERS]


def _resolved(compiled: CompiledRoute, _: Parent) -> _Row:
    if compiled.unresolved:
        return "ResolvedRefs", False, compiled.unresolved[0].reason, _sentence(compiled.unresolved)
    return "ResolvedRefs", True, "ResolvedRefs", "All references are valid."


_ALWAYS = (_accepted, _resolved)


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
    listeners = entries(gateway, "status", "listeners")
    current = next((each for each in listeners if each.get("name") == listener.name), {})
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
        "conditions": _conditions(entries(current, "conditions"), rows, generation_of(gateway), now),
    }
