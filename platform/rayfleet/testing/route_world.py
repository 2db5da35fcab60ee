"""Fleets of several namespaces, their Services and routes, in stores: what plans for routes are tried on. Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rayfleet.kube.store import Store
from rayfleet.model.absence import Absence
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.resources import FLEETS, SERVICES, ResourceType
from rayfleet.objects.labels import MODEL_LABEL
from rayfleet.objects.owners import controller_reference
from rayfleet.objects.parts import part
from rayfleet.objects.times import encode_time
from rayfleet.planning.names import service_name
from rayfleet.planning.writes import Action, Create, Delete

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
