"""Objects of one namespace as an API server keeps them, in memory: what planners are tried on. Pure.

Writes keep the rules that plans rely on: names, UID and version preconditions, generations, merge patches, deletion in
the foreground, quotas. What goes wrong means what it means to ``reconciling.executor``. One difference: a status write
leaves the version as it is, so an old view is refused less often than by a server, and plans are held to more.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import assert_never

from rayfleet.kube.errors import NotFound
from rayfleet.kube.store import Store
from rayfleet.model.absence import Absence
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import PODS, ResourceType
from rayfleet.objects.merge_patch import merged
from rayfleet.objects.meta import generation_of, is_terminating, name_of, uid_of, version_of
from rayfleet.objects.owners import controller_uid, is_controlled_by
from rayfleet.objects.parts import copied, part
from rayfleet.objects.times import encode_time
from rayfleet.planning.writes import Action, Create, CreateTogether, Delete, Merge, ObjectRef, Replace

NAMESPACE = "default"


class Stale(Exception):
    """A write on an old view, or a name that is another's: the pass ends, the next one looks again."""


class Refused(Exception):
    """A write that is refused for good: the pass plans again with it."""


def kind_of(raw: ReadOnlyJson) -> str:
    """Return an object's kind."""
    return str(raw["kind"])


def with_metadata(raw: ReadOnlyJson, fields: ReadOnlyJson) -> Json:
    """Return an object with fields of its metadata replaced."""
    return {**raw, "metadata": {**part(raw, "metadata"), **fields}}


class StoredObjects:
    """Objects by kind and name. A write puts a new object in the place of the old one and changes none in place.

    ``quotas`` says of how many objects of a kind there may be; ``now`` is the server's clock.
    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.by_kind: dict[str, dict[str, Json]] = {}
        self.quotas: dict[str, int] = {}
        self.absent: dict[ResourceType, Absence] = {}
        self._serial = 0

    def of_kind(self, kind: str) -> dict[str, Json]:
        """Return the objects of a kind by name, oldest first."""
        return self.by_kind.setdefault(kind, {})

    def store(self, resource: ResourceType) -> Store:
        """Return the objects of a kind as a reflector's store has them."""
        store = Store()
        for raw in self.of_kind(resource.kind).values():
            store.put(raw)
        return store

    def absences(self, resources: Iterable[ResourceType]) -> Mapping[ResourceType, Absence]:
        """Return which kinds cannot be read, as the test says in ``absent``."""
        return {resource: self.absent[resource] for resource in resources if resource in self.absent}

    async def get(self, resource: ResourceType, name: str, namespace: str | None = None) -> Json:
        """Return an object as a server has it now, at once. Raises NotFound."""
        raw = self.of_kind(resource.kind).get(name)
        if raw is None:
            raise NotFound(f"{resource.kind} {namespace}/{name} not found", code=404, reason="NotFound")
        return raw

    def named(self, action: Action) -> Json | None:
        """Return the object that an action is about as it stands; None for creates and for what is gone."""
        if isinstance(action, Create | CreateTogether):
            return None
        return self.of_kind(action.resource.kind).get(action.ref.key.name)

    def apply(self, action: Action) -> None:
        """Do one write. Raises Stale, Refused."""
        match action:
            case Create(manifest=manifest):
                self.create(manifest)
            case CreateTogether(manifests=manifests):
                self._create_all(manifests)
            case Merge(ref=ref, patch=patch):
                self.put(merged(self._seen(action.resource, ref), patch))
            case Delete(ref=ref, propagation=propagation):
                self._delete(action.resource, ref, propagation)
            case Replace(ref=ref, content=content):
                self._seen(action.resource, ref)
                self.put_status(action.resource.kind, ref.key.name, content)
            case _:
                assert_never(action)

    def create(self, manifest: ReadOnlyJson) -> None:
        """Store a new object; that it is there already, with the same controller, is success. Raises Stale, Refused."""
        kind, meta = kind_of(manifest), part(manifest, "metadata")
        objects = self.of_kind(kind)
        self._serial += 1
        name = name_of(manifest) or f"{meta['generateName']}{self._serial:05}"
        if name in objects:
            if controller_uid(objects[name]) != controller_uid(manifest) or is_terminating(objects[name]):
                raise Stale(f"{kind} {name} is another's")
            return
        self._keep_quota(kind)
        given = {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-{self._serial}",
            "generation": 1,
            "resourceVersion": str(self._serial),
            "creationTimestamp": encode_time(self.now),
        }
        objects[name] = copied(with_metadata(manifest, given))

    def put(self, changed: ReadOnlyJson) -> None:
        """Store another form of an object that is there: a new version, and a new generation if its spec differs."""
        objects, name = self.of_kind(kind_of(changed)), name_of(changed)
        is_other = part(changed, "spec") != part(objects[name], "spec")
        self._serial += 1
        given = {"resourceVersion": str(self._serial), "generation": generation_of(objects[name]) + is_other}
        objects[name] = copied(with_metadata(changed, given))

    def put_status(self, kind: str, name: str, status: ReadOnlyJson) -> None:
        """Store another status of an object that is there."""
        self.of_kind(kind)[name] = {**self.of_kind(kind)[name], "status": copied(status)}

    def mark_terminating(self, raw: ReadOnlyJson) -> None:
        """Note that the deletion of an object was asked for; only the first time counts."""
        if not is_terminating(raw):
            self.put(with_metadata(raw, {"deletionTimestamp": encode_time(self.now)}))

    def finish_deletions(self, kind: str) -> None:
        """Let the terminating objects of a kind be gone, and with them what they control."""
        for raw in [raw for raw in self.of_kind(kind).values() if is_terminating(raw)]:
            self.remove(raw)

    def remove(self, raw: ReadOnlyJson) -> None:
        """Forget an object, and everything that it controls."""
        del self.of_kind(kind_of(raw))[name_of(raw)]
        for objects in list(self.by_kind.values()):
            for child in [each for each in objects.values() if is_controlled_by(each, uid_of(raw))]:
                self.remove(child)

    def _create_all(self, manifests: Sequence[ReadOnlyJson]) -> None:
        """Try all; the first failure is raised when each had its turn."""
        failures: list[Stale | Refused] = []
        for manifest in manifests:
            try:
                self.create(manifest)
            except (Stale, Refused) as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def _keep_quota(self, kind: str) -> None:
        limit, used = self.quotas.get(kind), len(self.of_kind(kind))
        if limit is not None and used >= limit:
            raise Refused(f"exceeded quota: {kind} used {used}, limited {limit}")

    def _delete(self, resource: ResourceType, ref: ObjectRef, propagation: Propagation) -> None:
        """Delete at once, or (pods, and in the foreground) mark as terminating; that it is gone already is success."""
        raw = self.of_kind(resource.kind).get(ref.key.name)
        if raw is None or uid_of(raw) != ref.uid:
            return
        if resource is not PODS and propagation is not Propagation.FOREGROUND:
            self.remove(raw)
        else:
            self.mark_terminating(raw)

    def _seen(self, resource: ResourceType, ref: ObjectRef) -> Json:
        """Return the object that was seen. Raises Stale when it is gone or another one, or not at that version."""
        raw = self.of_kind(resource.kind).get(ref.key.name)
        if raw is None or uid_of(raw) != ref.uid:
            raise Stale(f"{resource.kind} {ref.key.name} is gone")
        if ref.resource_version and ref.resource_version != version_of(raw):
            raise Stale(f"{resource.kind} {ref.key.name} has changed")
        return raw
