"""A replica's state over any history of its pods: total, quiet while nothing happens, and true to its own history."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from rayfleet.manifest.replica_states import decode_replica_states, encode_replica_states
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.planning.replica.state import replica_state
from rayfleet.planning.replica.summary import standing_words, waiting_words
from rayfleet.testing.kubelet import SITUATIONS, RayPod
from rayfleet.testing.planner_world import START

HEAD = RayPod(name="c-head", ray_cluster="c")
WORKER = RayPod(name="c-worker", ray_cluster="c", group="workers", containers=("ray",))
SCRAPS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)
SITUATION = st.sampled_from(sorted(SITUATIONS))
STEPS = st.lists(
    st.tuples(st.none() | SITUATION, st.none() | SITUATION, st.booleans(), st.integers(0, 90)), min_size=1, max_size=8
)


def cluster(*, is_ready: bool) -> RayCluster:
    head = START if is_ready else None
    return RayCluster(
        meta=ObjectMeta(name="c", uid="u"), expected_workers=1, ready_workers=int(is_ready), head_ready_since=head
    )


@given(STEPS)
def test_every_history_has_a_state_that_follows_from_it(
    steps: list[tuple[str | None, str | None, bool, int]],
) -> None:
    before: ReplicaState | None = None
    was_ready, now = False, START
    for head, worker, is_ready, seconds in steps:
        now += timedelta(seconds=seconds)
        situations = ((HEAD, head), (WORKER, worker))
        pods = [pod.showing(SITUATIONS[how](now, pod.containers)) for pod, how in situations if how is not None]
        state = replica_state(cluster(is_ready=is_ready), pods, before, now)
        assert (state.phase is ReplicaPhase.READY) == is_ready
        if not is_ready:
            assert (state.phase is ReplicaPhase.BROKEN) == was_ready
            assert waiting_words([state], 1).endswith(standing_words(state))
        assert state.since == (before.since if before is not None and before.phase is state.phase else now)
        spent = sum(state.stages.values())
        assert spent <= (now - START).total_seconds() + 1
        assert decode_replica_states(encode_replica_states([state])) == (state,)
        again = replica_state(cluster(is_ready=is_ready), pods, state, now + timedelta(hours=1))
        assert again == state, "nothing happened, so nothing is to be written"
        before, was_ready = state, was_ready or is_ready


@given(status=SCRAPS, spec=SCRAPS)
def test_no_scrap_of_a_pod_upsets_it(status: object, spec: object) -> None:
    pod: Json = {"metadata": {"name": "p", "uid": "u"}, "status": status, "spec": spec}
    assert replica_state(cluster(is_ready=False), [pod], None, START).phase in ReplicaPhase
