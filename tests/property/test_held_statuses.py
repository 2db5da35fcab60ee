"""A status that may wait decides nothing: whatever is left unwritten, a replica is given up at the same time as if not.

Each history is told twice: to one whose statuses are all written at once, and to one of whose patient statuses any may
be left out, as a hold does (``rayfleet.reconciling.status_holds``). One thing is not told here: the first note of a
replica's lives waits too, and a worker that is lost before it, while the head goes on saying that it is ready, is never
missed. (At once it would cost a write for each replica; KubeRay's time of its readiness is another clock's.)
"""

from dataclasses import dataclass
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from rayfleet.model.fleet import RayClusterTemplate, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus, Selector
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.objects.labels import INDEX_LABEL
from rayfleet.objects.pods import incarnation_text
from rayfleet.objects.times import encode_time
from rayfleet.planning.observed import ObservedReplicaSet
from rayfleet.planning.plan import ReplicaSetPlan
from rayfleet.planning.replica_set.plan import plan_replica_set
from rayfleet.planning.writes import Replace
from rayfleet.testing.planner_world import START
from rayfleet.testing.ray_pods import head_pod, later, withdrawn_pod, worker_pod

EXAMPLES = 400
LABELS = {"app": "x"}
LONG_AGO = later(START, -3600)
DEEDS = (
    *("nothing", "turns unready", "turns ready", "worker restarts", "head restarts", "head is replaced"),
    *("is withdrawn", "is let back", "is suspended", "is resumed"),
)
CALM_FOR_READINESS = {"nothing", "worker restarts", "is withdrawn", "is let back"}


@dataclass
class Seen:
    """One replica as KubeRay and the kubelets report it; it was ready, and noted so, an hour ago.

    ``head`` and ``worker`` are their containers' lives: how many restarts, and since when. ``pods_made`` tells the pods
    of the head apart, ``resumed`` those of the worker.
    """

    now: datetime = START
    is_ready: bool = True
    turned: datetime = LONG_AGO
    pods_made: int = 0
    head: tuple[int, datetime] = (0, LONG_AGO)
    worker: tuple[int, datetime] = (0, LONG_AGO)
    withdrawn: datetime | None = None
    is_suspended: bool = False
    resumed: int = 0

    def happens(self, deed: str) -> None:
        if self.is_suspended and deed != "is resumed":
            return
        is_ready = deed == "turns ready" or (self.is_ready and deed in CALM_FOR_READINESS)
        if is_ready is not self.is_ready:
            self.is_ready, self.turned = is_ready, self.now
        match deed:
            case "worker restarts":
                self.worker = (self.worker[0] + 1, self.now)
            case "head restarts":
                self.head = (self.head[0] + 1, self.now)
            case "head is replaced":
                self.pods_made, self.head, self.withdrawn = self.pods_made + 1, (0, self.now), None
            case "is withdrawn" | "is let back":
                self.withdrawn = self.now if deed == "is withdrawn" else None
            case "is suspended":
                self.is_suspended = True
            case "is resumed" if self.is_suspended:
                self.is_suspended, self.withdrawn, self.resumed = False, None, self.resumed + 1
                self.pods_made, self.head, self.worker = self.pods_made + 1, (0, self.now), (0, self.now)

    @property
    def pods(self) -> tuple[Json, ...]:
        if self.is_suspended:
            return ()
        restarts, since = self.head
        head = head_pod("a", since=since, uid=f"h{self.pods_made}", restarts=restarts, ready=self.is_ready)
        head["status"]["conditions"][0]["lastTransitionTime"] = encode_time(self.turned)
        restarts, since = self.worker
        worker = worker_pod("a", since=since, uid=f"w{self.resumed}", restarts=restarts)
        return (withdrawn_pod(head, at=self.withdrawn) if self.withdrawn else head), worker

    def plan(self, status: ReplicaSetStatus) -> ReplicaSetPlan:
        meta = ObjectMeta(name="a", uid="a", labels={INDEX_LABEL: "0"}, owner_uid="set", created_at=START)
        head_since = self.turned if self.is_ready else None
        cluster = RayCluster(
            meta=meta,
            head_ready_since=head_since,
            expected_workers=1,
            ready_workers=0 if self.is_suspended else 1,
            is_suspended=self.is_suspended,
        )
        template = RayClusterTemplate(labels=LABELS, spec={})
        spec = ReplicaSetSpec(replicas=1, selector=Selector(match_labels=LABELS), template=template)
        replica_set = ReplicaSet(meta=ObjectMeta(name="set", uid="set", generation=1), spec=spec, status=status)
        observed = ObservedReplicaSet(replica_set=replica_set, ray_clusters=(cluster,), pods={"a": self.pods})
        return plan_replica_set(observed, self.now)


def rebuilds(plan: ReplicaSetPlan) -> list[tuple[datetime, str]]:
    return [(each.time, each.reason) for each in plan.status.rebuilds]


def troubles(plan: ReplicaSetPlan) -> list[tuple[ReplicaPhase, datetime]]:
    return [(each.phase, each.since) for each in plan.status.replica_states if each.phase is ReplicaPhase.BROKEN]


@settings(max_examples=EXAMPLES)
@given(
    history=st.lists(
        st.tuples(st.lists(st.tuples(st.integers(0, 70), st.sampled_from(DEEDS)), max_size=3), st.booleans()),
        max_size=12,
    )
)
def test_what_is_left_unwritten_changes_no_rebuild(history: list[tuple[list[tuple[int, str]], bool]]) -> None:
    seen = Seen()
    noted = ReplicaState(
        name="a", uid="a", phase=ReplicaPhase.READY, since=seen.now, incarnation=incarnation_text(seen.pods)
    )
    told = untold = ReplicaSetStatus(
        observed_generation=1,
        replicas=1,
        ready_replicas=1,
        available_replicas=1,
        ready_since={"a": LONG_AGO},
        replica_states=(noted,),
    )
    for deeds, is_written in history:  # what happens before a pass, and whether it writes what may wait
        for seconds, deed in deeds:
            seen.now = later(seen.now, seconds)
            seen.happens(deed)
        at_once, held = seen.plan(told), seen.plan(untold)
        assert (rebuilds(held), troubles(held)) == (rebuilds(at_once), troubles(at_once))
        told = at_once.status
        writes = [each for each in held.actions if isinstance(each, Replace)]
        is_first_note = not untold.replica_states[0].incarnation
        if any(is_written or is_first_note or not each.may_wait for each in writes):
            untold = held.status
        if told.rebuilds:
            return
