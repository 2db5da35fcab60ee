"""The stand-in's plan for a Ray cluster is whole: Secret, Services, pods and status, each write of it a value."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rayfleet.local.kuberay.plan import WRITES, ObservedCluster, plan_ray_cluster
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import PODS, SECRETS, SERVICES, ResourceType
from rayfleet.objects.labels import NODE_TYPE_LABEL
from rayfleet.objects.meta import label, name_of
from rayfleet.objects.parts import copied
from rayfleet.planning.writes import Create, Delete, Replace, WriteFailure, permission_of, writes_status
from rayfleet.testing.stand_ins import condition, ray_cluster

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def a_cluster() -> Json:
    """Return a Ray cluster with a token, as an API server stores it."""
    manifest = ray_cluster("default", "one", authOptions={"mode": "token"})
    manifest["metadata"] |= {"uid": "uid-one", "resourceVersion": "7", "generation": 1}
    return manifest


def running(pod: ReadOnlyJson, name: str) -> Json:
    stored = copied(pod)
    stored["metadata"] |= {"name": name, "uid": f"uid-{name}"}
    stored["status"] = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    return stored


def test_the_plan_is_whole_and_in_kuberays_order() -> None:
    """Secret, Services, pods: what pods need is there before them."""
    manifest = a_cluster()
    manifest["metadata"]["annotations"] = {"ray.io/enable-serve-service": "true"}
    manifest["spec"]["workerGroupSpecs"][0]["numOfHosts"] = 2
    plan = plan_ray_cluster(ObservedCluster(cluster=manifest, pods=()), NOW)
    made = [action for action in plan.actions if isinstance(action, Create)]
    assert [action.resource.kind for action in made] == ["Secret", "Service", "Service", "Service", "Pod", "Pod", "Pod"]
    name = name_of(manifest)
    assert [name_of(action.manifest) for action in made[:4]] == [
        name,
        f"{name}-head-svc",
        f"{name}-headless",
        f"{name}-serve-svc",
    ]
    assert made[0].event is None, "KubeRay tells of no Secret"
    assert all(action.event is not None for action in made[1:])


def test_what_is_there_is_not_made_again() -> None:
    manifest = a_cluster()
    plan = plan_ray_cluster(ObservedCluster(cluster=manifest, pods=()), NOW)
    creates = [each for each in plan.actions if isinstance(each, Create)]
    services = [each.manifest for each in creates if each.resource is SERVICES]
    secrets = [each.manifest for each in creates if each.resource is SECRETS]
    pods = [running(each.manifest, str(number)) for number, each in enumerate(creates) if each.resource is PODS]
    whole = ObservedCluster(cluster=manifest, pods=pods, services=services, secrets=secrets)
    assert [permission_of(action).subresource for action in plan_ray_cluster(whole, NOW).actions] == ["status"]


@pytest.mark.parametrize("resource", [SECRETS, SERVICES])
def test_nothing_is_made_beside_what_a_predecessor_left(resource: ResourceType) -> None:
    manifest = a_cluster()
    plan = plan_ray_cluster(ObservedCluster(cluster=manifest, pods=()), NOW)
    left = [copied(each.manifest) for each in plan.actions if isinstance(each, Create) and each.resource is resource]
    for each in left:
        each["metadata"]["ownerReferences"][0]["uid"] = "predecessor"
        each["metadata"]["labels"] = {}
    bare = ObservedCluster(cluster=manifest, pods=())
    there = replace(bare, secrets=left) if resource is SECRETS else replace(bare, services=left)
    waiting = plan_ray_cluster(there, NOW)
    assert waiting.actions == ()
    assert waiting.requeue_after is not None


@pytest.mark.parametrize(
    ("refused", "reason", "event"),
    [
        ("Secret", "", "FailedToCreateSecret"),
        ("Service", "", "FailedToCreateService"),
        ("head", "FailedCreateHeadPod", "FailedToCreateHeadPod"),
        ("worker", "FailedCreateWorkerPod", "FailedToCreateWorkerPod"),
    ],
)
def test_a_refused_write_ends_the_pass_and_is_told(refused: str, reason: str, event: str) -> None:
    manifest = a_cluster()
    plan = plan_ray_cluster(ObservedCluster(cluster=manifest, pods=()), NOW)
    creates = [each for each in plan.actions if isinstance(each, Create)]
    names = [label(each.manifest, NODE_TYPE_LABEL) if each.resource is PODS else each.resource.kind for each in creates]
    action = creates[names.index(refused)]
    services = [each.manifest for each in creates if each.resource is SERVICES]
    seen = ObservedCluster(cluster=manifest, pods=(), services=services)
    failed = plan_ray_cluster(replace(seen, failure=WriteFailure(action=action, message="quota")), NOW)
    assert [writes_status(each) for each in failed.actions] == [True], "nothing else is written after a refusal"
    assert [each.reason for each in failed.events] == [event]
    [write] = failed.actions
    assert isinstance(write, Replace)
    assert condition(write.content, "ReplicaFailure") == (("True", reason) if reason else ("", ""))


def test_all_that_is_written_is_declared() -> None:
    plan = plan_ray_cluster(ObservedCluster(cluster=a_cluster(), pods=()), NOW)
    assert {permission_of(action) for action in plan.actions} <= WRITES


@pytest.mark.parametrize("hosts", [1, 2])
def test_a_suspended_group_loses_its_pods_and_gets_no_others(hosts: int) -> None:
    """By the feature gate RayJobDeletionPolicy, which is on in 1.6."""
    manifest = a_cluster()
    [group] = manifest["spec"]["workerGroupSpecs"]
    group["numOfHosts"] = hosts
    bare = ObservedCluster(cluster=manifest, pods=())
    creates = [each for each in plan_ray_cluster(bare, NOW).actions if isinstance(each, Create)]
    services = [each.manifest for each in creates if each.resource is SERVICES]
    secrets = [each.manifest for each in creates if each.resource is SECRETS]
    manifests = [each.manifest for each in creates if each.resource is PODS]
    pods = [running(each, str(number)) for number, each in enumerate(manifests)]
    group["suspend"] = True
    whole = ObservedCluster(cluster=manifest, pods=pods, services=services, secrets=secrets)
    gone = [action.ref.key.name for action in plan_ray_cluster(whole, NOW).actions if isinstance(action, Delete)]
    assert gone == [str(number) for number in range(1, 1 + hosts)], "all but the head"
    [status] = plan_ray_cluster(replace(whole, pods=pods[:1]), NOW).actions
    assert isinstance(status, Replace)
    assert status.content["state"] == "ready"
