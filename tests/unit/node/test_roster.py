"""Which pods a node takes up, gives up and forgets (rayfleet.local.node.roster): pure."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayfleet.local.node.roster import NEXT, RosterChanges, Standing, roster_changes

NODE = "local"


def pod(uid: str, node: str = NODE, *, phase: str = "Running", is_deleted: bool = False) -> dict[str, Any]:
    meta = {"uid": uid, **({"deletionTimestamp": "now"} if is_deleted else {})}
    return {"metadata": meta, "spec": {"nodeName": node} if node else {}, "status": {"phase": phase}}


def changes(**of: Any) -> RosterChanges:
    return RosterChanges(**{"begun": (), "updated": (), "vanished": (), "forgotten": (), **of})


HERE, ELSEWHERE, UNBOUND = pod("a"), pod("a", "other"), pod("a", "")


@pytest.mark.parametrize(
    ("standing", "pods", "expected"),
    [
        (None, [HERE], changes(begun=(HERE,))),
        (None, [ELSEWHERE, UNBOUND], changes()),
        (Standing.UNFIT, [UNBOUND], changes()),
        (Standing.UNFIT, [], changes(forgotten=("a",))),
        (Standing.UNFIT, [ELSEWHERE], changes(forgotten=("a",))),
        (Standing.SERVED, [HERE], changes(updated=(HERE,))),
        (Standing.SERVED, [], changes(vanished=("a",))),  # deleted by force
        (Standing.SERVED, [ELSEWHERE], changes(vanished=("a",))),
        (Standing.FINISHED, [HERE], changes()),  # the watch is late: it must not be begun again
        (Standing.FINISHED, [], changes(forgotten=("a",))),
    ],
)
def test_what_is_done_about_a_pod(standing: Standing | None, pods: list[Any], expected: RosterChanges) -> None:
    assert roster_changes({"a": standing} if standing else {}, pods, NODE) == expected


def test_a_pod_that_waited_for_accelerators_is_begun_when_it_is_bound() -> None:
    asked = roster_changes({"a": Standing.UNFIT}, [HERE], NODE)
    assert asked.begun == (HERE,)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_run_to_its_end_is_begun_only_to_be_removed(phase: str) -> None:
    leaving = pod("a", phase=phase, is_deleted=True)
    assert roster_changes({}, [pod("a", phase=phase)], NODE).begun == ()
    assert roster_changes({}, [leaving], NODE).begun == (leaving,)


PODS = st.lists(
    st.builds(pod, st.sampled_from("abcd"), st.sampled_from([NODE, "other", ""])),
    unique_by=lambda each: each["metadata"]["uid"],
)


@given(st.dictionaries(st.sampled_from("abcde"), st.sampled_from(Standing)), PODS)
def test_every_pod_is_one_thing_at_a_time(standings: dict[str, Standing], pods: list[dict[str, Any]]) -> None:
    asked = roster_changes(standings, pods, NODE)
    uids = [each["metadata"]["uid"] for each in (*asked.begun, *asked.updated)] + list(asked.vanished)
    assert len(uids) == len(set(uids))
    for each in asked.begun:
        assert Standing.SERVED in NEXT[standings.get(each["metadata"]["uid"])]
    for uid in asked.forgotten:
        assert None in NEXT[standings[uid]]
        assert uid not in asked.vanished
    bound = {each["metadata"]["uid"] for each in pods if each["spec"].get("nodeName") == NODE}
    served = {uid for uid, standing in standings.items() if standing is Standing.SERVED}
    assert {each["metadata"]["uid"] for each in asked.updated} | set(asked.vanished) == served
    assert not set(asked.vanished) & bound
