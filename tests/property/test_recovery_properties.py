"""Recovery and drain in any history: kills, lost replies, a controller that dies at any write, users who change sizes.

Never more sets of accelerators than are asked for, no name twice, no place rebuilt more often than its budget says; and
when everybody is well again, everything comes to rest at the right size.
"""

from collections import Counter
from contextlib import suppress
from datetime import timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rayfleet.manifest.replica_set import decode_replica_set
from rayfleet.model.json import Json
from rayfleet.model.replica import ReplicaPhase
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.labels import INCARNATION_ANNOTATION, RESUME_ANNOTATION
from rayfleet.objects.meta import annotation, is_terminating, name_of
from rayfleet.planning.observed import InFlight, SidecarWords
from rayfleet.planning.replica.obstacles import SidecarReason
from rayfleet.planning.writes import Create, CreateTogether
from rayfleet.testing.planner_world import PlannerWorld
from rayfleet.testing.stored_objects import Refused, Stale
from rayfleet.testing.transcripts.stage import Stage

EXAMPLES = 60
PHASES = tuple(phase for phase in Phase if phase not in {Phase.explain, Phase.shrink})
MOST_REBUILDS = 2
WORDS = ("gpus=1", "workers=1", "grace=1", f"rebuilds={MOST_REBUILDS}", "surge=0", "unavailable=1")
SITUATIONS = ("ready", "ready", "out-of-memory", "loading")


class History:
    """A fleet of one template, what was asked of it, and what is held of it after each step."""

    def __init__(self, replicas: int) -> None:
        self.stage = Stage()
        self.stage.apply([f"replicas={replicas}", *WORDS])
        self.most = replicas
        self.made: Counter[str] = Counter()

    @property
    def world(self) -> PlannerWorld:
        return self.stage.world

    def passes(self, *, dies_after: int | None = None) -> None:
        """Let each controller make a pass; it may die after so many writes."""
        for resource in (FLEETS, REPLICA_SETS):
            for name in list(self.world.stored.of_kind(resource.kind)):
                plan = self.world.steps(resource).plan(self.world.observed(resource, name), self.world.now)
                with suppress(Stale, Refused):
                    for action in plan.actions[:dies_after]:
                        there = set(self.world.names())
                        self.world.stored.apply(action)
                        if isinstance(action, Create | CreateTogether):
                            self.made.update(set(self.world.names()) - there)
                self.check()

    def check(self) -> None:
        """Hold what must be so at any time."""
        assert len(self.world.names()) <= self.most, "more sets of accelerators than were ever asked for"
        assert all(number == 1 for number in self.made.values()), "a name that one had before"
        for raw in self.world.replica_sets():
            status = decode_replica_set(raw).status
            spent = Counter(each.index for each in status.rebuilds)
            assert max(spent.values(), default=0) <= MOST_REBUILDS

    def kill(self, data: st.DataObject) -> None:
        """Something happens to a Ray cluster: its pods, its object, what KubeRay or its sidecar says."""
        names = [name for name in self.world.names() if not is_terminating(self._cluster(name))]
        if not names:
            return
        name = data.draw(st.sampled_from(names))
        match data.draw(st.sampled_from(["head", "worker", "pods", "delete", "evict", "ready", "requests", "words"])):
            case "head":
                self.world.make_unready(name)
            case "worker":
                self.world.lose_worker(name)
            case "pods":
                which = data.draw(st.sampled_from(["head", "worker", "pods"]))
                self.stage.show_pods(name, which, data.draw(st.sampled_from(SITUATIONS)))
            case "delete" if self._is_told_of(name):
                self.world.stored.remove(self._cluster(name))
            case "evict":
                self.stage.show_pods(name, "pods", "ready")
                self.stage.evict_workers(name)
            case "requests":
                uid = self._cluster(name)["metadata"]["uid"]
                looks = InFlight(idle_looks=data.draw(st.integers(0, 2)), failed_looks=data.draw(st.integers(0, 3)))
                self.world.in_flight[uid] = looks
            case "words":
                uid = self._cluster(name)["metadata"]["uid"]
                reason = data.draw(st.sampled_from([*SidecarReason, ""]))
                self.world.words[uid] = SidecarWords(pod=f"{name}-head", reason=reason, message="anything")
            case _:
                self.world.make_ready(name)

    def wear(self) -> None:
        """Let one break for good, and its successor form: the way to the end of a budget."""
        names = [name for name in self.world.names() if not is_terminating(self._cluster(name))]
        for name in names[:1]:
            self.world.make_unready(name)
        for _ in range(4):
            self.passes()
            self.world.now += timedelta(seconds=1)
        self.world.finish_deletions()
        self.passes()
        self.world.make_ready(*self.world.names())
        self.world.now += timedelta(seconds=70)
        self.passes()

    def resize(self, replicas: int) -> None:
        self.stage.apply([f"replicas={replicas}"])
        self.most = max(self.most, replicas)

    def rest(self) -> None:
        """Let all be well, and time pass, until nobody writes or waits; Failed ones are resumed once."""
        self.stage.annotate(RESUME_ANNOTATION, "rest")
        quiet = 0
        for _ in range(400):
            before = {name: dict(objects) for name, objects in self.world.objects.items()}
            self.passes()
            is_quiet = before == self.world.objects
            self.world.stored.finish_deletions(PODS.kind)
            self.world.finish_deletions()
            for name in self.world.names():
                self.stage.show_pods(name, "pods", "ready")
            self.world.make_ready(*self.world.names())
            quiet = quiet + 1 if is_quiet else 0
            self.world.now += timedelta(seconds=1 if quiet < 3 else 30)
            if quiet >= 8:
                return
        raise AssertionError("it never came to rest")

    def _is_told_of(self, name: str) -> bool:
        """Whether the status knows its number: one that comes and goes within a crash leaves no trace at all."""
        number = int(annotation(self._cluster(name), INCARNATION_ANNOTATION))
        return any(number <= decode_replica_set(raw).status.incarnations for raw in self.world.replica_sets())

    def _cluster(self, name: str) -> Json:
        return self.world.stored.of_kind(RAY_CLUSTERS.kind)[name]


def test_one_that_is_not_noted_yet_keeps_its_name_to_itself_when_it_is_deleted() -> None:
    """A controller dies after its first create, and the next after its first deletion: neither writes a status."""
    history = History(3)
    history.passes(dies_after=1)
    for replicas in (0, 1):
        history.resize(replicas)
        history.passes(dies_after=1)
        history.world.finish_deletions()
        history.passes()
        history.world.finish_deletions()
        history.passes()
    assert len([name for name in history.made if name in history.world.names()]) == 1


@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), replicas=st.integers(1, 3))
def test_any_history_keeps_the_promises_and_comes_to_rest(data: st.DataObject, replicas: int) -> None:
    history = History(replicas)
    for _ in range(data.draw(st.integers(5, 40))):
        act = data.draw(st.sampled_from(["pass", "pass", "die", "kill", "kill", "wear", "gone", "size", "all well"]))
        match act:
            case "pass":
                history.passes()
            case "die":
                history.passes(dies_after=data.draw(st.integers(0, 2)))
            case "kill":
                history.kill(data)
            case "wear":
                history.wear()
            case "gone":
                history.world.finish_deletions()
            case "size":
                history.resize(data.draw(st.integers(0, 3)))
            case _:
                history.world.make_ready(*history.world.names())
        history.world.now += timedelta(seconds=data.draw(st.sampled_from([0, 1, 2, 5, 40])))
    history.rest()
    [owner] = map(decode_replica_set, history.world.replica_sets())
    assert len(history.world.names()) == owner.spec.replicas
    phases = {state.name: state.phase for state in owner.status.replica_states}
    assert set(phases) == set(history.world.names())
    assert set(phases.values()) <= {ReplicaPhase.READY}
    assert {name_of(raw) for raw in history.world.stored.of_kind(PODS.kind).values()} >= {
        f"{name}-head" for name in history.world.names()
    }
