"""Where a transcript plays: the world, what the user applied, and how Ray clusters behave. Pure.

In each round every controller makes one pass; then KubeRay reports the Ray clusters as ready, but those that are said
not to be, and ends deletions; then a second passes. A round in which nobody writes is quiet. A block ends when a round
is quiet, nobody waits for time to pass and KubeRay changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from rayfleet.manifest.replica_set import decode_replica_set
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS, SERVICES, ResourceType
from rayfleet.objects.labels import MODEL_LABEL, REVISION_ANNOTATION
from rayfleet.objects.meta import annotation, annotations_of, decode_meta, labels_of, name_of, uid_of
from rayfleet.objects.owners import controller_reference
from rayfleet.objects.parts import part
from rayfleet.objects.ray_spec import containers, expected_workers, head_group
from rayfleet.planning.names import service_name
from rayfleet.planning.observed import InFlight
from rayfleet.planning.replica_set.drain import IDLE_LOOKS
from rayfleet.testing.kubelet import SITUATIONS, RayPod
from rayfleet.testing.planner_world import Pass, PlannerWorld
from rayfleet.testing.stored_objects import with_metadata
from rayfleet.testing.transcripts.lines import pass_lines, standing
from rayfleet.testing.transcripts.manifest import Manifest

_ROUNDS = 12


class Stage:
    """One world with its user and its KubeRay. ``rounds`` bounds those of the next ``play``."""

    def __init__(self) -> None:
        self.world = PlannerWorld()
        self.rounds = _ROUNDS
        self.broken_images: set[str] = set()
        self.lost_heads: set[str] = set()
        self.holds_terminating = False
        self._manifest: Manifest | None = None

    @property
    def is_created(self) -> bool:
        """Whether there is a fleet."""
        return self._manifest is not None

    def apply(self, words: Sequence[str]) -> None:
        """Let the user apply the manifest with other fields, or for the first time. Raises FieldError."""
        self._manifest = (self._manifest or Manifest()).changed(words)
        self.world.apply_fleet(self._manifest.rendered())

    def delete_fleet(self) -> None:
        """Let the user ask for the fleet's deletion; nobody ends it here."""
        self.world.stored.mark_terminating(self.world.fleet)

    def annotate(self, name: str, value: str) -> None:
        """Let the user annotate the fleet."""
        fleet = self.world.fleet
        self.world.stored.put(with_metadata(fleet, {"annotations": {**annotations_of(fleet), name: value}}))

    def foreign_object(self, resource: ResourceType, name: str) -> None:
        """Let somebody else make an object. Raises Stale, Refused."""
        meta = {"name": name}
        self.world.stored.create({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta})

    def other_fleet(self, name: str, fields: Mapping[str, str]) -> None:
        """Let another fleet be in the namespace, with its Service, or let it say something else. Raises Stale."""
        stored = self.world.stored
        if name not in stored.of_kind(FLEETS.kind):
            stored.create({"apiVersion": FLEETS.api_version, "kind": FLEETS.kind, "metadata": {"name": name}})
            meta = decode_meta(stored.of_kind(FLEETS.kind)[name])
            owner = controller_reference(FLEETS, meta.name, meta.uid)
            service = {"name": service_name(meta), "ownerReferences": [owner]}
            stored.create({"apiVersion": SERVICES.api_version, "kind": SERVICES.kind, "metadata": service})
        raw = stored.of_kind(FLEETS.kind)[name]
        weight = {"route": {"weight": int(fields["weight"])}} if "weight" in fields else {}
        labels = {MODEL_LABEL: fields["model"]} if "model" in fields else dict(labels_of(raw))
        stored.put({**with_metadata(raw, {"labels": labels}), "spec": part(raw, "spec") | weight})
        if "available" in fields:
            stored.put_status(FLEETS.kind, name, {"availableReplicas": int(fields["available"])})

    def lose_head(self, name: str) -> None:
        """Let a Ray cluster be without a head until further notice."""
        self.lost_heads.add(name)
        self.world.make_unready(name)

    def show_pods(self, name: str, pods: str, situation: str) -> None:
        """Let the head, the worker or (``pods``) all pods of a Ray cluster stand as ``kubelet`` calls it."""
        chosen = {"head": [RayPod(name=f"{name}-head", ray_cluster=name)], "worker": self._workers(name, 2)}
        for pod in chosen.get(pods) or [*chosen["head"], *chosen["worker"]]:
            self.world.show_pod(name, pod, SITUATIONS[situation](self.world.now, pod.containers))

    def count_requests(self, name: str, requests: int) -> None:
        """Let the sidecar of a Ray cluster count so many requests; none: for long enough."""
        uid = uid_of(self.world.stored.of_kind(RAY_CLUSTERS.kind)[name])
        self.world.in_flight[uid] = InFlight(requests=requests, idle_looks=0 if requests else IDLE_LOOKS)

    def evict_workers(self, name: str) -> None:
        """Let the workers of a Ray cluster be asked to go."""
        for pod in self._workers(name, 2):
            self.world.stored.mark_terminating(self.world.stored.of_kind(PODS.kind)[pod.name])

    def replace_workers(self, name: str) -> None:
        """Let the workers that go be gone, and others run in their place."""
        self.world.stored.finish_deletions(PODS.kind)
        for pod in self._workers(name, 3):
            self.world.show_pod(name, pod, SITUATIONS["ready"](self.world.now, pod.containers))

    def _workers(self, name: str, node: int) -> list[RayPod]:
        spec = part(self.world.stored.of_kind(RAY_CLUSTERS.kind)[name], "spec")
        return [
            RayPod(name=f"{name}-worker-{n}", ray_cluster=name, group="workers", containers=("ray",), node=f"n{node}")
            for n in range(1, 1 + expected_workers(spec))
        ]

    def play(self) -> Iterator[str]:
        """Play rounds; yield what happens, line by line, and how the fleet stands then."""
        quiet: list[int] = []
        is_settled = False
        passes: list[Pass] = []
        for number in range(1, self.rounds + 1):
            passes = self.world.passes()
            lines = [line for each in passes for line in pass_lines(each)]
            if lines:
                yield from _quiet_rounds(quiet)
                quiet.clear()
                yield f"round {number}"
                yield from lines
            else:
                quiet.append(number)
            has_changed = self._kuberay()
            self.world.now += timedelta(seconds=1)
            is_settled = not lines and not has_changed and _wait(passes) is None
            if is_settled:
                break
        yield from _quiet_rounds(quiet)
        yield from self._end(passes, is_settled=is_settled)
        self.rounds = _ROUNDS

    def _end(self, passes: list[Pass], *, is_settled: bool) -> Iterator[str]:
        wait = _wait(passes)
        goes_on = "goes on" if wait is None else f"looks again in {wait.total_seconds():g}s"
        yield f"{'settled' if is_settled else goes_on}: {standing(self.world.fleet)}"
        for raw in self.world.replica_sets():
            yield f"  {self._size(raw)}"

    def _size(self, raw: ReadOnlyJson) -> str:
        replica_set = decode_replica_set(raw)
        mine = [each for each in self.world.clusters() if each.meta.owner_uid == replica_set.meta.uid]
        ready, leaving = sum(each.is_ready for each in mine), sum(each.is_terminating for each in mine)
        counts = f"size {replica_set.spec.replicas}, {len(mine) - leaving} there, {ready} ready"
        image, revision = _image(replica_set.spec.template.spec), annotation(raw, REVISION_ANNOTATION)
        name = f"{replica_set.meta.name} (image {image}, revision {revision})"
        return f"{name}: {counts}" + (f", {leaving} terminating" if leaving else "")

    def _kuberay(self) -> bool:
        """Let KubeRay report and end deletions; return whether that changed anything."""
        clusters = self.world.stored.of_kind(RAY_CLUSTERS.kind)
        before = dict(clusters)
        if not self.holds_terminating:
            self.world.finish_deletions()
        self.world.make_ready(*(name for name, raw in clusters.items() if self._gets_ready(raw)))
        return clusters != before

    def _gets_ready(self, raw: Json) -> bool:
        return name_of(raw) not in self.lost_heads and _image(part(raw, "spec")) not in self.broken_images


def _wait(passes: list[Pass]) -> timedelta | None:
    """Return when the first of them wants to look again; None: nobody waits for time alone."""
    waits = [each.plan.requeue_after for each in passes]
    return min((wait for wait in waits if wait is not None), default=None)


def _image(spec: ReadOnlyJson) -> str:
    return str(containers(head_group(spec))[0]["image"])


def _quiet_rounds(numbers: list[int]) -> Iterator[str]:
    if len(numbers) == 1:
        yield f"round {numbers[0]}: quiet"
    elif numbers:
        yield f"rounds {numbers[0]}-{numbers[-1]}: quiet"
