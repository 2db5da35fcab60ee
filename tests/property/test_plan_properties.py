"""What every plan promises, in every interleaving: only declared writes, after a refusal the status alone, then rest.

The whole chain plays: fleet, replica sets, and KubeRay's stand-in for their Ray clusters, with pods that come, fail and
go, quotas that end writes, manifests that cannot be accepted, and others' objects under our names.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import (
    DISRUPTION_BUDGETS,
    FLEETS,
    HTTP_ROUTES,
    PODS,
    RAY_CLUSTERS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
)
from rayfleet.model.resources import ResourceType as Resource
from rayfleet.objects.labels import MODEL_LABEL
from rayfleet.objects.meta import is_terminating, name_of
from rayfleet.objects.pods import is_finished, is_ready
from rayfleet.planning.names import route_name
from rayfleet.planning.plan import Plan
from rayfleet.planning.writes import WriteFailure, permission_of, writes_status
from rayfleet.testing.planner_world import PlannerWorld
from rayfleet.testing.stored_objects import Refused

EXAMPLES = 60  # some 8 s; thousands were run by hand
PHASES = tuple(phase for phase in Phase if phase not in {Phase.explain, Phase.shrink})  # minutes each, here
CONTROLLED = (FLEETS, REPLICA_SETS, RAY_CLUSTERS)
LIMITED = (REPLICA_SETS, RAY_CLUSTERS, SERVICES, HTTP_ROUTES, DISRUPTION_BUDGETS, SECRETS, PODS)
FOREIGN_NAMES = ((SERVICES, "fleet"), (HTTP_ROUTES, route_name("m")))
SELECTORS = st.sampled_from(["x", "x", "x", "y"])
"""The last makes the manifest one that cannot be accepted."""


def fleet_manifest(data: st.DataObject) -> Json:
    pod = {"spec": {"containers": [{"name": "ray", "image": data.draw(st.sampled_from("abc"))}]}}
    workers = {"groupName": "workers", "replicas": 1, "minReplicas": 0, "maxReplicas": 2, "rayStartParams": {}}
    hosts = data.draw(st.sampled_from([1, 1, 2]))
    template: Json = {
        "metadata": {"labels": {"app": "x"}},
        "spec": {
            "rayVersion": "2.60.0",
            "authOptions": {"mode": "token"},
            "headGroupSpec": {"rayStartParams": {}, "template": pod},
            "workerGroupSpecs": [{**workers, "numOfHosts": hosts, "template": pod}],
        },
    }
    return {
        "apiVersion": FLEETS.api_version,
        "kind": FLEETS.kind,
        "metadata": {"name": "fleet", "labels": data.draw(st.sampled_from([{}, {MODEL_LABEL: "m"}]))},
        "spec": {
            "replicas": data.draw(st.integers(0, 3)),
            "paused": data.draw(st.sampled_from([False, False, True])),
            "minReadySeconds": data.draw(st.integers(0, 2)),
            "selector": {"matchLabels": {"app": data.draw(SELECTORS)}},
            "template": template,
        },
    }


def keys(world: PlannerWorld) -> Iterator[tuple[Resource, str]]:
    for resource in CONTROLLED:
        for name in list(world.stored.of_kind(resource.kind)):
            yield resource, name
    for name in world.route_names():
        yield HTTP_ROUTES, name


def planned(world: PlannerWorld, resource: Resource, name: str) -> Plan[object]:
    """Return what a pass would do now; hold its promises on the way."""
    steps = world.steps(resource)
    observed = world.observed(resource, name)
    plan = steps.plan(observed, world.now)
    assert steps.writes is not None
    assert {permission_of(action) for action in plan.actions} <= steps.writes
    assert steps.with_failure is not None
    for action in plan.actions:
        failure = WriteFailure(action=action, message="refused")
        failed = steps.plan(steps.with_failure(observed, failure), world.now)
        assert all(writes_status(each) for each in failed.actions)
    return plan


def run_pod(world: PlannerWorld, pod: ReadOnlyJson, *, ready: bool = True, phase: str = "Running") -> None:
    condition = {"type": "Ready", "status": "True" if ready else "False", "reason": "", "message": ""}
    world.stored.put_status(PODS.kind, name_of(pod), {"phase": phase, "podIP": "10.0.0.1", "conditions": [condition]})


def run_all_pods(world: PlannerWorld) -> None:
    for pod in list(world.stored.of_kind(PODS.kind).values()):
        if not is_terminating(pod) and not is_finished(pod) and not is_ready(pod):
            run_pod(world, pod)


def end_all_deletions(world: PlannerWorld) -> None:
    for resource in (RAY_CLUSTERS, PODS):
        world.stored.finish_deletions(resource.kind)


def others_act(world: PlannerWorld, data: st.DataObject) -> None:
    """Somebody makes an object under a name that we want, or takes it away again."""
    resource, name = data.draw(st.sampled_from(FOREIGN_NAMES))
    raw = world.stored.of_kind(resource.kind).get(name)
    if raw is not None:
        world.stored.remove(raw)
        return
    with suppress(Refused):
        world.stored.create({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}})


def pods_act(world: PlannerWorld, data: st.DataObject) -> None:
    """A pod runs, fails or loses its readiness, or all run, or all that go are gone."""
    pods = list(world.stored.of_kind(PODS.kind).values())
    match data.draw(st.sampled_from(["one", "all", "gone"])):
        case "one" if pods:
            phase = data.draw(st.sampled_from(["Running", "Running", "Failed"]))
            run_pod(world, data.draw(st.sampled_from(pods)), ready=data.draw(st.booleans()), phase=phase)
        case "all":
            run_all_pods(world)
        case _:
            end_all_deletions(world)


def quotas_act(world: PlannerWorld, data: st.DataObject) -> None:
    """A quota comes, or all go."""
    kind = data.draw(st.sampled_from([None, *(resource.kind for resource in LIMITED)]))
    if kind is None:
        world.stored.quotas.clear()
    else:
        world.stored.quotas[kind] = data.draw(st.integers(0, 3))


def suspend_one(world: PlannerWorld, data: st.DataObject) -> None:
    """Somebody suspends a Ray cluster, or resumes it."""
    clusters = list(world.stored.of_kind(RAY_CLUSTERS.kind).values())
    if clusters:
        cluster = data.draw(st.sampled_from(clusters))
        world.stored.put({**cluster, "spec": {**cluster["spec"], "suspend": data.draw(st.booleans())}})


def controllers_act(world: PlannerWorld, data: st.DataObject) -> None:
    """One controller makes a pass."""
    resource, name = data.draw(st.sampled_from(list(keys(world))))
    planned(world, resource, name)
    world.pass_for(resource, name)


def user_acts(world: PlannerWorld, data: st.DataObject) -> None:
    """The user applies another manifest."""
    world.apply_fleet(fleet_manifest(data))


ACTS = (user_acts, others_act, quotas_act, suspend_one, *[pods_act] * 3, *[controllers_act] * 5)


def let_settle(world: PlannerWorld, rounds: int = 40) -> None:
    """Let everybody make passes, and pods run and go, until two rounds write nothing and no time is waited for.

    When only time is waited for, it passes at once. (KubeRay looks again every few minutes for ever.)
    """
    quiet = 0
    for _ in range(rounds):
        passes = [(resource, world.pass_for(resource, name)) for resource, name in list(keys(world))]
        run_all_pods(world)
        end_all_deletions(world)
        waits = [made.plan.requeue_after for resource, made in passes if resource is not RAY_CLUSTERS]
        wait = min((wait for wait in waits if wait is not None), default=None)
        quiet = 0 if any(made.writes for _, made in passes) else quiet + 1
        if quiet >= 2 and wait is None:
            return
        world.now += wait if quiet >= 2 and wait is not None else timedelta(seconds=1)
    raise AssertionError(f"nothing settled in {rounds} rounds")


@settings(max_examples=EXAMPLES, phases=PHASES)
@given(data=st.data(), steps=st.integers(10, 60))
def test_a_plan_writes_what_is_declared_after_a_refusal_the_status_and_in_the_end_nothing(
    data: st.DataObject, steps: int
) -> None:
    world = PlannerWorld()
    world.apply_fleet(fleet_manifest(data))
    for _ in range(steps):
        data.draw(st.sampled_from(ACTS))(world, data)
        world.now += timedelta(seconds=data.draw(st.integers(0, 2)))
    world.stored.quotas.clear()
    let_settle(world)
    for _ in range(2):
        assert [action for resource, name in keys(world) for action in planned(world, resource, name).actions] == []
        world.now += timedelta(hours=1)
