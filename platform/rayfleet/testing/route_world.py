"""Fleets of several namespaces, their Services and routes, in stores: what plans for routes are tried on. Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rayfleet.controllers.route import observed_route, observed_route_of
from rayfleet.kube.store import Store
from rayfleet.model.absence import Absence
from rayfleet.model.conditions import Condition
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey, ObjectMeta
from rayfleet.model.policies import RouteDefaults
from rayfleet.model.resources import FLEETS, SERVICES, ResourceType
from rayfleet.objects.labels import MODEL_LABEL
from rayfleet.objects.meta import key_of
from rayfleet.objects.owners import controller_reference
from rayfleet.objects.parts import part
from rayfleet.objects.times import encode_time
from rayfleet.planning.names import route_name, service_name
from rayfleet.planning.route.conditions import with_routing
from rayfleet.planning.route.plan import plan_route
from rayfleet.planning.writes import Action, Create, Delete

ROUTE = route_name("qwen")
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class RouteWorld:
    """Stores of several namespaces; ``absent`` are kinds that cannot be read."""

    def __init__(self) -> None:
        self.absent: dict[ResourceType, Absence] = {}
        self._stores: dict[ResourceType, Store] = {}
        self._made = 0

    def store(self, resource: ResourceType) -> Store:
        """Return the store of a kind."""
        return self._stores.setdefault(resource, Store())

    def absences(self, resources: Iterable[ResourceType]) -> Mapping[ResourceType, Absence]:
        """Return which of the kinds cannot be read."""
        return {each: self.absent[each] for each in resources if each in self.absent}

    def put(self, resource: ResourceType, raw: ReadOnlyJson) -> Json:
        """Store an object, in ``default`` unless it says where; return it as stored."""
        self._made += 1
        meta = {"namespace": "default", "uid": f"uid-{self._made}", "resourceVersion": str(self._made)}
        kind = {"apiVersion": resource.api_version, "kind": resource.kind}
        stored: Json = {**kind, **raw, "metadata": {**meta, **part(raw, "metadata")}}
        self.store(resource).put(stored)
        return stored

    def fleet(
        self, name: str, *, age: int = 0, available: int = 1, namespace: str = "default", **more: Any
    ) -> ReadOnlyJson:
        """Store a fleet of the model ``qwen`` made ``age`` seconds before START, and its Service.

        ``more`` are fields of ``spec.route``, ``model``, and ``annotations``.
        """
        uid, annotations = f"{namespace}-{name}", more.pop("annotations", {})
        meta = {"name": name, "namespace": namespace, "uid": uid}
        created = encode_time(START - timedelta(seconds=age))
        labels = {MODEL_LABEL: more.pop("model", "qwen")}
        spec: Json = {"route": more}
        raw = self.put(
            FLEETS,
            {
                "metadata": {
                    **meta,
                    "creationTimestamp": created,
                    "labels": labels,
                    "annotations": annotations,
                },
                "spec": spec,
                "status": {"availableReplicas": available},
            },
        )
        owner = controller_reference(FLEETS, name, uid)
        service = {"name": backend(name, namespace), "namespace": namespace, "ownerReferences": [owner]}
        self.put(SERVICES, {"metadata": service})
        return raw

    def apply(self, *actions: Action) -> None:
        """Do creations and deletions; others stay undone."""
        for action in actions:
            if isinstance(action, Create):
                meta = {**part(action.manifest, "metadata"), "creationTimestamp": encode_time(START)}
                self.put(action.resource, {**action.manifest, "metadata": meta})
            elif isinstance(action, Delete):
                self.store(action.resource).remove(action.ref.key)


def backend(name: str, namespace: str = "default") -> str:
    """Return the name of the Service of one of ``RouteWorld.fleet``."""
    return service_name(ObjectMeta(name=name, uid=f"{namespace}-{name}"))


def planned(world: RouteWorld, namespace: str = "default", defaults: RouteDefaults | None = None) -> tuple[Action, ...]:
    """Return what is to be done now for the route of the model ``qwen`` in a namespace."""
    observed = observed_route(ObjectKey(namespace=namespace, name=ROUTE), world, defaults or RouteDefaults())
    return plan_route(observed, START).actions


def made(world: RouteWorld, defaults: RouteDefaults | None = None) -> Json:
    """Return the route whose creation is all that is to be done."""
    [action] = planned(world, defaults=defaults)
    assert isinstance(action, Create)
    return dict(action.manifest)


def weights(manifest: ReadOnlyJson) -> dict[str, int]:
    """Return the weight of each Service behind a route of one rule."""
    [rule] = manifest["spec"]["rules"]
    return {each["name"]: each["weight"] for each in rule["backendRefs"]}


def said(
    world: RouteWorld, fleet: ReadOnlyJson, conditions: tuple[Condition, ...] = ()
) -> dict[str, tuple[str, str, str]]:
    """Return status, reason and message of each condition that a fleet has then, by type."""
    observed = observed_route_of(fleet, world, RouteDefaults())
    known = with_routing(conditions, observed, key_of(fleet), START)
    return {each.type: (each.status.value, each.reason, each.message) for each in known}
