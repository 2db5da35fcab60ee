"""What the KubeRay stand-in decides. Rules: KubeRay 1.6, raycluster_controller.go and utils/validation.go."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rayfleet.local.kuberay.plan import ObservedCluster, plan_ray_cluster, steps_of
from rayfleet.local.kuberay.pods import build_head_pod, build_worker_pod
from rayfleet.local.kuberay.services import build_head_service
from rayfleet.local.kuberay.steps import Stop
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import PODS, SERVICES
from rayfleet.objects.labels import REPLICA_NAME_LABEL
from rayfleet.objects.meta import label, labels_of
from rayfleet.objects.parts import copied
from rayfleet.objects.pods import is_head, is_worker
from rayfleet.planning.plan import StatelessPlan
from rayfleet.planning.writes import Action, Create, Delete, Replace, WriteFailure
from rayfleet.testing.stand_ins import condition, ray_cluster

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def cluster(workers: int = 1, **spec: object) -> Json:
    found = ray_cluster("n", "one", workers=workers, **spec)
    found["metadata"] |= {"uid": "u", "generation": 1}
    return found


def group_of(manifest: ReadOnlyJson) -> Json:
    group: Json = manifest["spec"]["workerGroupSpecs"][0]
    return group


def running(pod: ReadOnlyJson, name: str, *, ready: str = "True", **status: object) -> Json:
    found = copied(pod)
    found["metadata"] |= {"name": name, "uid": f"uid-{name}"}
    conditions = [{"type": "Ready", "status": ready}] if ready else []
    found["status"] = {"phase": "Running", "podIP": "10.0.0.1", "conditions": conditions, **status}
    return found


def head(manifest: ReadOnlyJson, **status: object) -> Json:
    return running(build_head_pod(manifest), "head", **status)  # type: ignore[arg-type]  # ready or status fields


def worker(manifest: ReadOnlyJson, name: str = "w0", **status: object) -> Json:
    return running(build_worker_pod(manifest, group_of(manifest)), name, **status)  # type: ignore[arg-type]  # the same


def going(pod: Json) -> Json:
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return pod


def observed(manifest: ReadOnlyJson, *pods: ReadOnlyJson, **more: Any) -> ObservedCluster:
    """Return a Ray cluster whose surroundings are there, so that a plan is about pods and status."""
    more.setdefault("services", surroundings(manifest))
    return ObservedCluster(cluster=manifest, pods=pods, **more)


def surroundings(manifest: ReadOnlyJson) -> list[Json]:
    bare = ObservedCluster(cluster=manifest, pods=())
    creates = [each for each in plan_ray_cluster(bare, NOW).actions if isinstance(each, Create)]
    return [copied(each.manifest) for each in creates if each.resource is SERVICES]


def actions(manifest: ReadOnlyJson, *pods: ReadOnlyJson) -> tuple[Action, ...]:
    plan = plan_ray_cluster(observed(manifest, *pods), NOW)
    return tuple(action for action in plan.actions if action.resource is PODS)


def created(manifest: ReadOnlyJson, *pods: ReadOnlyJson) -> list[ReadOnlyJson]:
    return [action.manifest for action in actions(manifest, *pods) if isinstance(action, Create)]


def words(manifest: ReadOnlyJson, *pods: ReadOnlyJson) -> list[str]:
    """Return what is done to pods in words; "stop" when the pass ends there and comes back."""
    said = [
        f"create {'Head' if is_head(action.manifest) else 'Worker'}"
        if isinstance(action, Create)
        else f"delete {action.ref.key.name}"
        for action in actions(manifest, *pods)
        if isinstance(action, Create | Delete)
    ]
    return said + ["stop"] * any(isinstance(step, Stop) for step in steps_of(observed(manifest, *pods)))


def status(
    manifest: ReadOnlyJson,
    *pods: ReadOnlyJson,
    failure: WriteFailure | None = None,
    now: datetime = NOW,
    services: Sequence[ReadOnlyJson] | None = None,
) -> Json | None:
    there = surroundings(manifest) if services is None else services
    plan = plan_ray_cluster(observed(manifest, *pods, failure=failure, services=there), now)
    written = [action.content for action in plan.actions if isinstance(action, Replace)]
    return copied(written[0]) if written else None


def with_status(manifest: ReadOnlyJson, *pods: ReadOnlyJson) -> Json:
    found = status(manifest, *pods)
    assert found is not None
    return {**manifest, "status": found}


def new_status(manifest: ReadOnlyJson, *pods: ReadOnlyJson) -> Json:
    found = status(manifest, *pods, now=LATER)
    assert found is not None
    return found


def test_head_and_workers_are_made_in_one_pass() -> None:
    assert words(cluster(workers=2)) == ["create Head", "create Worker", "create Worker"]


def test_a_complete_cluster_needs_nothing() -> None:
    manifest = cluster()
    assert words(manifest, head(manifest), worker(manifest)) == []


@pytest.mark.parametrize(
    ("replicas", "low", "high", "made"),
    [(2, 0, 10, 2), (None, 1, 10, 1), (1, 2, 10, 2), (9, 0, 3, 3), (0, 0, 10, 0)],
)
def test_replicas_stay_within_their_bounds(replicas: int | None, low: int, high: int, made: int) -> None:
    manifest = cluster()
    group_of(manifest).update({"replicas": replicas, "minReplicas": low, "maxReplicas": high})
    assert words(manifest, head(manifest)) == ["create Worker"] * made


def test_a_failed_head_goes_first_and_workers_wait() -> None:
    manifest = cluster(workers=2)
    assert words(manifest, head(manifest, phase="Failed")) == ["delete head", "stop"]


def test_a_failed_head_that_goes_already_is_waited_for() -> None:
    manifest = cluster()
    assert words(manifest, going(head(manifest, phase="Failed"))) == ["stop"]


@pytest.mark.parametrize(("policy", "is_replaced"), [("Never", True), ("Always", False), ("OnFailure", False)])
def test_an_ended_ray_container_replaces_the_pod_only_without_restarts(policy: str, is_replaced: bool) -> None:
    manifest = cluster()
    ended = [{"name": "ray-worker", "state": {"terminated": {"exitCode": 1}}}]
    pod = worker(manifest, containerStatuses=ended)
    pod["spec"]["restartPolicy"] = policy
    expected = ["delete w0", "stop"] if is_replaced else []
    assert words(manifest, head(manifest), pod) == expected


def test_a_terminating_worker_counts_until_it_is_gone() -> None:
    manifest = cluster()
    assert words(manifest, head(manifest), going(worker(manifest))) == []


def test_two_heads_are_an_error_and_no_work() -> None:
    manifest = cluster()
    second = head(manifest)
    second["metadata"]["name"] = "head2"
    assert words(manifest, head(manifest), second) == ["stop"]


def test_surplus_workers_go_those_first_that_go_anyway() -> None:
    manifest = cluster(workers=1)
    pods = [worker(manifest, "w0"), going(worker(manifest, "w1")), worker(manifest, "w2")]
    assert words(manifest, head(manifest), *pods) == ["delete w0"]


def test_an_autoscaled_group_loses_no_worker_by_itself() -> None:
    manifest = cluster(workers=0, enableInTreeAutoscaling=True)
    assert words(manifest, head(manifest), worker(manifest)) == []


def test_named_workers_go_and_are_replaced_in_the_same_pass() -> None:
    manifest = cluster()
    group_of(manifest)["scaleStrategy"] = {"workersToDelete": ["w0", "elsewhere"]}
    assert words(manifest, head(manifest), worker(manifest)) == ["delete w0", "create Worker"]


def test_new_workers_take_the_lowest_free_index() -> None:
    manifest = cluster(workers=3)
    pod = worker(manifest)
    pod["metadata"]["labels"]["ray.io/worker-group-replica-index"] = "1"
    made = [labels_of(each) for each in created(manifest, head(manifest), pod)]
    assert [labels["ray.io/worker-group-replica-index"] for labels in made] == ["0", "2"]


def several_hosts(replicas: int = 2) -> tuple[Json, list[Json]]:
    manifest = cluster(workers=replicas)
    group_of(manifest)["numOfHosts"] = 2
    made = [pod for pod in created(manifest) if is_worker(pod)]
    return manifest, [running(pod, f"w{number}") for number, pod in enumerate(made)]


def test_a_replica_that_misses_a_host_goes_whole() -> None:
    manifest, pods = several_hosts()
    assert words(manifest, head(manifest), *pods[1:]) == ["delete w1", "stop"]


def test_a_replica_with_a_failed_host_goes_whole_and_another_is_made() -> None:
    manifest, pods = several_hosts()
    pods[3]["status"]["phase"] = "Failed"
    assert words(manifest, head(manifest), *pods) == ["delete w2", "delete w3", "create Worker", "create Worker"]
    names = {label(pod, REPLICA_NAME_LABEL) for pod in pods}
    assert label(created(manifest, head(manifest), *pods)[-1], REPLICA_NAME_LABEL) not in names


def test_a_named_host_takes_its_replica_along() -> None:
    manifest, pods = several_hosts()
    group_of(manifest)["scaleStrategy"] = {"workersToDelete": ["w1"]}
    assert words(manifest, head(manifest), *pods) == ["delete w0", "delete w1", "stop"]


def test_fewer_replicas_of_several_hosts_go_whole() -> None:
    manifest, pods = several_hosts()
    group_of(manifest)["replicas"] = 1
    assert words(manifest, head(manifest), *pods) == ["delete w0", "delete w1"]


def test_a_head_that_is_not_to_come_back_does_not() -> None:
    manifest = with_status(cluster(workers=0), head(cluster(workers=0)))
    assert words(manifest) == ["create Head"]
    manifest["metadata"]["annotations"] = {"ray.io/disable-provisioned-head-restart": "true"}
    assert words(manifest) == ["stop"]


def test_others_and_dying_clusters_are_left_alone() -> None:
    for left in (cluster(managedBy="kueue.x-k8s.io/multikueue"), going(cluster())):
        assert plan_ray_cluster(ObservedCluster(cluster=left, pods=()), NOW) == StatelessPlan(status=None)
    assert words(cluster(managedBy="ray.io/kuberay-operator")) == ["create Head", "create Worker"]


def changed(**group: object) -> Json:
    manifest = cluster()
    group_of(manifest).update(group)
    return manifest


def named(name: str) -> Json:
    manifest = cluster()
    manifest["metadata"]["name"] = name
    return manifest


def with_env(name: str, value: str) -> Json:
    manifest = cluster()
    manifest["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["env"] = [{"name": name, "value": value}]
    return manifest


SUSPENDED = group_of(changed(suspend=True))


@pytest.mark.parametrize(
    ("manifest", "reason", "words"),
    [
        (named("a" * 54), "InvalidRayClusterMetadata", "no more than 53 characters"),
        (named("1st"), "InvalidRayClusterMetadata", "DNS1035"),
        (changed(minReplicas=3, maxReplicas=1), "InvalidRayClusterSpec", "minReplicas 3 greater than maxReplicas 1"),
        (changed(minReplicas=-1), "InvalidRayClusterSpec", "negative minReplicas -1"),
        (changed(maxReplicas=None), "InvalidRayClusterSpec", "must set both minReplicas and maxReplicas"),
        (changed(template={"spec": {}}), "InvalidRayClusterSpec", "workerGroupSpec should have at least one container"),
        (changed(rayStartParams={"labels": "a=b"}), "InvalidRayClusterSpec", "top-level Labels field"),
        (changed(rayStartParams={"num-cpus": "1"}, resources={"CPU": "1"}), "InvalidRayClusterSpec", "only one"),
        (cluster(enableInTreeAutoscaling=True, workerGroupSpecs=[SUSPENDED]), "InvalidRayClusterSpec", "be suspended"),
        (with_env("RAY_REDIS_ADDRESS", "r:6379"), "InvalidRayClusterSpec", "RAY_REDIS_ADDRESS is set"),
        (with_env("RAY_enable_autoscaler_v2", "1"), "InvalidRayClusterSpec", "cannot be set to '1'"),
        (cluster(authOptions={"mode": "token"}, rayVersion="2.51.0"), "InvalidRayClusterSpec", "minimum Ray version"),
        (cluster(authOptions={"mode": "token"}, rayVersion=""), "InvalidRayClusterSpec", "was not specified"),
        (cluster(authOptions={"mode": "token"}, rayVersion="nightly"), "InvalidRayClusterSpec", "format is invalid"),
    ],
)
def test_kuberay_refuses_with_one_event(manifest: ReadOnlyJson, reason: str, words: str) -> None:
    plan = plan_ray_cluster(ObservedCluster(cluster=manifest, pods=()), NOW)
    [event] = plan.events
    assert (event.reason, event.is_said_once, plan.actions) == (reason, True, ())
    assert words in event.message


def test_what_is_not_imitated_is_said() -> None:
    manifest = cluster(enableInTreeAutoscaling=True)
    [event] = plan_ray_cluster(observed(manifest), NOW).events
    assert (event.reason, event.is_said_once) == ("NotImitated", True)
    assert "enableInTreeAutoscaling" in event.message
    assert plan_ray_cluster(observed(cluster()), NOW).events == ()


def test_a_first_status_tells_what_is_missing() -> None:
    found = status(cluster(workers=2))
    assert found is not None
    assert condition(found, "HeadPodReady") == ("False", "HeadPodNotFound")
    assert condition(found, "RayClusterProvisioned") == ("False", "RayClusterPodsProvisioning")
    assert "state" not in found
    assert "readyWorkerReplicas" not in found
    assert (found["desiredWorkerReplicas"], found["maxWorkerReplicas"]) == (2, 10)
    assert found["endpoints"]["gcs-server"] == "6379"


def test_ready_sticks_and_counts_do_not() -> None:
    manifest = cluster()
    whole = with_status(manifest, head(manifest), worker(manifest))
    assert (whole["status"]["state"], whole["status"]["readyWorkerReplicas"]) == ("ready", 1)
    after = new_status(whole, head(manifest, ready="False"))
    assert after["state"] == "ready"
    assert condition(after, "RayClusterProvisioned")[0] == "True"
    assert condition(after, "HeadPodReady")[0] == "False"
    assert not {"readyWorkerReplicas", "availableWorkerReplicas"} & set(after)


def test_a_pod_without_a_ready_condition_runs_but_is_not_ready() -> None:
    manifest = cluster()
    found = with_status(manifest, head(manifest), worker(manifest, ready=""))["status"]
    assert found["availableWorkerReplicas"] == 1
    assert "readyWorkerReplicas" not in found
    assert found["state"] == "ready", "KubeRay takes a missing condition for a good one here"


@pytest.mark.parametrize("change", ["nothing", "generation", "desired resources"])
def test_a_status_without_news_is_not_written(change: str) -> None:
    manifest = cluster()
    pods = (head(manifest), worker(manifest))
    whole = with_status(manifest, *pods)
    if change == "generation":
        whole["metadata"]["generation"] = 7
    if change == "desired resources":
        group_of(whole)["template"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "4"}}
    assert status(whole, *pods, now=LATER) is None


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    manifest = cluster()
    waiting = [{"name": "ray-head", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]
    unready = {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "unready: [ray-head]"}
    before = with_status(manifest, head(manifest, ready="False"))
    found = new_status(before, head(manifest, conditions=[unready], containerStatuses=waiting))
    entry = next(each for each in found["conditions"] if each["type"] == "HeadPodReady")
    assert entry["reason"] == "ErrImagePull"
    assert entry["message"] == "unready: [ray-head]; ray-head: no such image"
    assert entry["lastTransitionTime"] == "2026-11-25T12:00:00Z"


def test_a_failure_shows_until_a_pass_goes_well() -> None:
    manifest = cluster()
    failure = WriteFailure(
        action=Create(resource=PODS, manifest=build_worker_pod(manifest, group_of(manifest))), message="quota"
    )
    found = status(manifest, head(manifest), failure=failure)
    assert found is not None
    assert condition(found, "ReplicaFailure") == ("True", "FailedCreateWorkerPod")
    after = new_status({**manifest, "status": found}, head(manifest), worker(manifest))
    assert condition(after, "ReplicaFailure") == ("", "")


def test_resources_are_summed_as_kubernetes_writes_them() -> None:
    manifest = cluster(workers=2)
    asked = {"limits": {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": 1}, "requests": {"cpu": "500m"}}
    group_of(manifest)["template"]["spec"]["containers"][0]["resources"] = asked
    manifest["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["resources"] = {
        "limits": {"memory": "1536Mi"}
    }
    found = with_status(manifest)["status"]
    assert (found["desiredCPU"], found["desiredMemory"], found["desiredGPU"]) == ("1", "17920Mi", "2")
    assert found["desiredTPU"] == "0"


def test_suspension_is_a_whole() -> None:
    manifest = cluster()
    pods = (head(manifest), worker(manifest))
    whole = with_status(manifest, *pods)
    whole["spec"]["suspend"] = True
    assert words(whole, *pods) == [], "first it is said"
    began = with_status(whole, *pods)
    assert condition(began["status"], "RayClusterSuspending")[0] == "True"
    assert words(began, *pods) == ["delete head", "delete w0"]
    began["spec"]["suspend"] = False  # too late: what began is finished
    assert words(began, *pods) == ["delete head", "delete w0"]
    done = with_status({**began, "spec": {**began["spec"], "suspend": True}})
    assert done["status"]["state"] == "suspended"
    assert condition(done["status"], "RayClusterSuspended")[0] == "True"
    assert condition(done["status"], "RayClusterProvisioned")[0] == "False"
    assert words(done) == []
    done["spec"].pop("suspend")
    assert status(done, now=LATER) is None, "a removed field does not resume"
    done["spec"]["suspend"] = False
    resumed = with_status(done)
    assert condition(resumed["status"], "RayClusterSuspended")[0] == "False"
    assert words(resumed) == ["create Head", "create Worker"]


def test_no_status_without_exactly_one_head_service() -> None:
    manifest = cluster()
    service = build_head_service(manifest)
    for services in ((), (service, service)):
        assert status(manifest, services=services) is None
