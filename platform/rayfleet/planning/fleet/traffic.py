"""The way in for requests: one Service (head pods only) and one HTTPRoute of a fleet that names a model. Pure.

Level-triggered and owned: fields that we write are set right when they drift, others stay as they are, and both objects
go when the fleet names no model any more. An object of our name that somebody else made is never touched. Workers are
left out of the Service: nothing listens on them. Source: Gateway API v1 ``HTTPRoute``; the shape is that of AIBrix's
published example.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rayfleet.model.fleet import Fleet
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.ports import ENGINE_PORT, SIDECAR_PORT
from rayfleet.model.resources import FLEETS, GATEWAYS, HTTP_ROUTES, SERVICES
from rayfleet.objects.labels import FLEET_LABEL, HEAD_NODE_TYPE, MODEL_LABEL, MODEL_PORT_LABEL, NODE_TYPE_LABEL
from rayfleet.objects.meta import labels_of, name_of
from rayfleet.objects.owners import controller_reference, is_controlled_by
from rayfleet.objects.ray_spec import head_group, pod_template
from rayfleet.planning.fleet.drift import drift_patch
from rayfleet.planning.fleet.model_name import model_name
from rayfleet.planning.names import route_name, service_names
from rayfleet.planning.observed import ObservedFleet
from rayfleet.planning.writes import Action, Create, Delete, Merge, ref_of

GATEWAY_NAME = "rayfleet"
GATEWAY_NAMESPACE = "rayfleet-system"
REQUEST_TIMEOUT = "120s"
_PATHS = ("/v1/completions", "/v1/chat/completions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Writes to Service and HTTPRoute; ``problem`` says what stands in the way, empty when nothing does.

    ``reason`` is the problem's, for a condition.
    """

    actions: tuple[Action, ...] = ()
    problem: str = ""
    reason: str = "NotOwned"


def plan_traffic(observed: ObservedFleet) -> Traffic:
    """Return what to write so that requests for the model reach the head pods."""
    model = model_name(observed.fleet)
    service_name = _service_name(observed) if model else None
    wanted_route = route_name(observed.fleet.meta.name)
    problem = ""
    if model and service_name is None:
        names = " and ".join(service_names(observed.fleet.meta.name))
        problem = f"Services {names} exist and are not this fleet's: delete or rename one of them"
    route_is_foreign = any(
        name_of(route) == wanted_route and not _is_ours(observed, route) for route in observed.http_routes
    )
    if model and route_is_foreign:
        problem = f"HTTPRoute {wanted_route} exists and is not this fleet's: delete or rename it"
    actions: list[Action] = []
    actions += _service_actions(observed, service_name, model)
    absence = observed.absences.get(HTTP_ROUTES)
    if absence is not None and model and not problem:
        return Traffic(actions=tuple(actions), problem=absence.message, reason=absence.reason)
    if absence is None and (service_name is None or not route_is_foreign):  # what cannot be read is not written
        actions += _route_actions(observed, wanted_route if service_name else None, service_name, model)
    return Traffic(actions=tuple(actions), problem=problem)


def service_manifest(observed: ObservedFleet, name: str, model: str) -> Json:
    """Return the fleet's Service as it ought to be."""
    fleet = observed.fleet
    selector = {FLEET_LABEL: fleet.meta.name, NODE_TYPE_LABEL: HEAD_NODE_TYPE}
    if _head_labels(observed).get(MODEL_LABEL) == model:
        selector[MODEL_LABEL] = model
    return {
        "apiVersion": SERVICES.api_version,
        "kind": SERVICES.kind,
        "metadata": _metadata(fleet, name, model),
        "spec": {
            "selector": selector,
            "ports": [
                {"name": "serve", "port": ENGINE_PORT, "protocol": "TCP", "targetPort": _engine_port(observed)},
                {"name": "http", "port": SIDECAR_PORT, "protocol": "TCP", "targetPort": SIDECAR_PORT},
            ],
        },
    }


def route_manifest(fleet: Fleet, service: str, model: str) -> Json:
    """Return the fleet's HTTPRoute as it ought to be."""
    header = {"name": "model", "type": "Exact", "value": model}
    matches = [{"headers": [header], "path": {"type": "PathPrefix", "value": path}} for path in _PATHS]
    backend = {"group": "", "kind": SERVICES.kind, "name": service, "port": ENGINE_PORT, "weight": 1}
    parent = {
        "group": GATEWAYS.group,
        "kind": GATEWAYS.kind,
        "name": GATEWAY_NAME,
        "namespace": GATEWAY_NAMESPACE,
    }
    return {
        "apiVersion": HTTP_ROUTES.api_version,
        "kind": HTTP_ROUTES.kind,
        "metadata": _metadata(fleet, route_name(fleet.meta.name), model),
        "spec": {
            "parentRefs": [parent],
            "rules": [{"matches": matches, "backendRefs": [backend], "timeouts": {"request": REQUEST_TIMEOUT}}],
        },
    }


def _service_name(observed: ObservedFleet) -> str | None:
    """Return the name of our Service: the one we have, else the first that is free."""
    names = service_names(observed.fleet.meta.name)
    ours = {name_of(service) for service in observed.services if _is_ours(observed, service)}
    foreign = {name_of(service) for service in observed.services} - ours
    return next((name for name in names if name in ours), next((name for name in names if name not in foreign), None))


def _service_actions(observed: ObservedFleet, name: str | None, model: str | None) -> list[Action]:
    ours = [service for service in observed.services if _is_ours(observed, service)]
    actions: list[Action] = [
        Delete(resource=SERVICES, ref=ref_of(service)) for service in ours if name_of(service) != name
    ]
    if name is None or model is None:
        return actions
    desired = service_manifest(observed, name, model)
    current = _named(ours, name)
    if current is None:
        return [*actions, Create(resource=SERVICES, manifest=desired)]
    patch = drift_patch(current, _owned_fields(desired), exact=(("spec", "selector"),))
    return [*actions, Merge(resource=SERVICES, ref=ref_of(current), patch=patch)] if patch else actions


def _route_actions(observed: ObservedFleet, name: str | None, service: str | None, model: str | None) -> list[Action]:
    ours = [route for route in observed.http_routes if _is_ours(observed, route)]
    actions: list[Action] = [
        Delete(resource=HTTP_ROUTES, ref=ref_of(route)) for route in ours if name_of(route) != name
    ]
    if name is None or service is None or model is None:
        return actions
    desired = route_manifest(observed.fleet, service, model)
    current = _named(ours, name)
    if current is None:
        return [*actions, Create(resource=HTTP_ROUTES, manifest=desired)]
    patch = drift_patch(current, _owned_fields(desired))
    return [*actions, Merge(resource=HTTP_ROUTES, ref=ref_of(current), patch=patch)] if patch else actions


def _metadata(fleet: Fleet, name: str, model: str) -> Json:
    return {
        "name": name,
        "namespace": fleet.meta.namespace,
        "labels": {MODEL_LABEL: model, FLEET_LABEL: fleet.meta.name},
        "ownerReferences": [controller_reference(FLEETS, fleet.meta.name, fleet.meta.uid)],
    }


def _owned_fields(manifest: ReadOnlyJson) -> Json:
    """Return what is held against drift: all but the owner references, by which the object was found."""
    meta = {name: value for name, value in manifest["metadata"].items() if name != "ownerReferences"}
    return {**manifest, "metadata": meta}


def _engine_port(observed: ObservedFleet) -> int:
    """Return the port that ``model.aibrix.ai/port`` names on template or fleet, else 8000."""
    text = observed.template.labels.get(MODEL_PORT_LABEL) or observed.fleet.meta.labels.get(MODEL_PORT_LABEL, "")
    return int(text) if text.isdecimal() and 0 < int(text) < 2**16 else ENGINE_PORT


def _head_labels(observed: ObservedFleet) -> Mapping[str, str]:
    return labels_of(pod_template(head_group(observed.template.spec)))


def _is_ours(observed: ObservedFleet, raw: ReadOnlyJson) -> bool:
    return is_controlled_by(raw, observed.fleet.meta.uid)


def _named(objects: Sequence[ReadOnlyJson], name: str) -> ReadOnlyJson | None:
    return next((raw for raw in objects if name_of(raw) == name), None)
