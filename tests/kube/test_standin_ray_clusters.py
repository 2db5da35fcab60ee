"""The KubeRay stand-in towards an API server; the node is played by the test. Rules: KubeRay 1.6."""

from collections.abc import AsyncIterator

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import EVENTS, PODS, RAY_CLUSTERS, SECRETS, SERVICES
from rayfleet.objects.meta import key_of
from rayfleet.objects.owners import controller_uid
from rayfleet.testing.nodes import until_gone
from rayfleet.testing.stand_ins import (
    condition,
    pods_of,
    put_pod_phase,
    put_pod_status,
    ray_cluster,
    running_stand_ins,
    status_of,
    until_pods,
    until_status,
)
from rayfleet.testing.waiting import LIMIT_SECONDS, until


@pytest.fixture(autouse=True)
async def stand_ins(client: KubeClient) -> AsyncIterator[None]:
    async with running_stand_ins(client):
        yield


async def until_replaced(client: KubeClient, cluster: ReadOnlyJson, role: str, uid: str) -> None:
    """Wait for another pod than that of ``uid``, alone in its role."""

    async def uids() -> list[str]:
        return [pod["metadata"]["uid"] for pod in (await pods_of(client, cluster))[role]]

    def is_another(uids: list[str]) -> bool:
        return len(uids) == 1 and uids != [uid]

    await until(uids, f"another {role} than {uid}", LIMIT_SECONDS, holds=is_another)


async def made_ready(client: KubeClient, cluster: ReadOnlyJson, workers: int = 1) -> dict[str, list[Json]]:
    pods = await until_pods(client, cluster, 1, workers)
    for number, pod in enumerate([*pods["head"], *pods["worker"]]):
        await put_pod_status(client, pod, address=f"127.77.0.{number + 2}")
    await until_status(client, cluster, lambda status: status.get("state") == "ready")
    return pods


async def change(client: KubeClient, cluster: ReadOnlyJson, spec: ReadOnlyJson) -> Json:
    return await client.patch(RAY_CLUSTERS, key_of(cluster), {"spec": spec})


async def event_messages(client: KubeClient, cluster: ReadOnlyJson, reason: str) -> list[str]:
    found = await client.list(EVENTS, cluster["metadata"]["namespace"])
    uid = cluster["metadata"]["uid"]
    return [
        each["message"] for each in found.items if (each["reason"], each["involvedObject"].get("uid")) == (reason, uid)
    ]


async def test_a_successor_of_the_same_name_waits_for_its_own_token(client: KubeClient, namespace: str) -> None:
    first = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "again", authOptions={"mode": "token"}))
    await until_pods(client, first, 1, 1)
    await client.delete(RAY_CLUSTERS, key_of(first), propagation=Propagation.BACKGROUND)
    second = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "again", authOptions={"mode": "token"}))
    assert second["metadata"]["uid"] != first["metadata"]["uid"]

    async def pods_of_second() -> list[Json]:
        pods = (await client.list(PODS, namespace)).items
        return [pod for pod in pods if controller_uid(pod) == second["metadata"]["uid"]]

    pods = await until(pods_of_second, "both pods", LIMIT_SECONDS, holds=lambda pods: len(pods) == 2)
    token = await client.get(SECRETS, second["metadata"]["name"], namespace)
    assert controller_uid(token) == second["metadata"]["uid"]
    assert all(int(token["metadata"]["resourceVersion"]) < int(pod["metadata"]["resourceVersion"]) for pod in pods)


async def test_a_cluster_becomes_pods_and_a_headless_service(client: KubeClient, namespace: str) -> None:
    cluster = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "one", workers=2))
    pods = await until_pods(client, cluster, 1, 2)
    service = await client.get(SERVICES, "one-head-svc", namespace)
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert {port["name"]: port["targetPort"] for port in service["spec"]["ports"]}["gcs-server"] == 6379
    assert {pod["metadata"]["labels"]["ray.io/worker-group-replica-index"] for pod in pods["worker"]} == {"0", "1"}
    for pod in (*pods["head"], *pods["worker"]):
        owner = pod["metadata"]["ownerReferences"][0]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
            cluster["metadata"]["uid"],
            True,
            True,
        )
    assert pods["head"][0]["metadata"]["name"].startswith("one-head-")
    assert pods["worker"][0]["metadata"]["name"].startswith("one-workers-worker-")


async def test_counts_are_live_while_state_and_provisioned_stick(client: KubeClient, namespace: str) -> None:
    cluster = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "sticky"))
    pods = await made_ready(client, cluster)
    await put_pod_status(client, pods["worker"][0], address="127.77.0.3", is_ready=False)
    status = await until_status(client, cluster, lambda found: not found.get("readyWorkerReplicas"))
    assert status["availableWorkerReplicas"] == 1
    assert status["state"] == "ready"
    assert condition(status, "RayClusterProvisioned") == ("True", "AllPodRunningAndReadyFirstTime")
    await put_pod_status(client, pods["head"][0], address="127.77.0.2", is_ready=False)
    status = await until_status(client, cluster, lambda found: condition(found, "HeadPodReady")[0] == "False")
    assert condition(status, "HeadPodReady")[1] == "ContainersNotReady"
    assert status["state"] == "ready"
    await put_pod_status(client, pods["worker"][0], address="127.77.0.3")
    await until_status(client, cluster, lambda found: found.get("readyWorkerReplicas") == 1)


async def test_a_status_without_news_is_not_written(client: KubeClient, namespace: str) -> None:
    cluster = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "quiet"))
    pods = await made_ready(client, cluster)
    before = await client.get(RAY_CLUSTERS, "quiet", namespace)
    # Another generation whose status is the same: observedGeneration stays behind, as the real one's does.
    await change(client, cluster, {"headServiceAnnotations": {"note": "x"}})
    await put_pod_status(client, pods["worker"][0], address="127.77.0.9")  # wakes the controller
    await put_pod_status(client, pods["head"][0], address="127.77.0.10")
    await until_status(client, cluster, lambda found: found["head"]["podIP"] == "127.77.0.10")
    assert before["status"]["observedGeneration"] == before["metadata"]["generation"]
    writes = (await status_of(client, cluster))["observedGeneration"]
    assert writes == before["metadata"]["generation"] + 1, "told with the head's address, which is news"


async def test_a_failed_worker_is_deleted_and_made_again(client: KubeClient, namespace: str) -> None:
    cluster = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "failing"))
    pods = await made_ready(client, cluster)
    old = pods["worker"][0]["metadata"]["uid"]
    await put_pod_phase(client, pods["worker"][0], "Failed")
    await until_replaced(client, cluster, "worker", old)
    assert (await pods_of(client, cluster))["head"][0]["metadata"]["uid"] == pods["head"][0]["metadata"]["uid"]


async def test_a_lost_head_is_made_again_and_workers_are_left_alone(client: KubeClient, namespace: str) -> None:
    cluster = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "beheaded"))
    pods = await made_ready(client, cluster)
    await client.delete(PODS, key_of(pods["head"][0]), grace_period_seconds=0)
    await until_status(client, cluster, lambda found: condition(found, "HeadPodReady")[0] == "False")
    await until_replaced(client, cluster, "head", pods["head"][0]["metadata"]["uid"])
    workers = (await pods_of(client, cluster))["worker"]
    assert [pod["metadata"]["uid"] for pod in workers] == [pods["worker"][0]["metadata"]["uid"]]


async def test_a_terminating_worker_has_no_replacement_until_it_is_gone(client: KubeClient, namespace: str) -> None:
    cluster = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "lingering"))
    pods = await made_ready(client, cluster)
    worker = pods["worker"][0]
    await client.patch(PODS, key_of(worker), {"metadata": {"finalizers": ["rayfleet.test/hold"]}})
    await client.delete(PODS, key_of(worker), grace_period_seconds=0)
    await put_pod_status(client, pods["head"][0], address="127.77.0.77")  # a pass that sees the terminating pod
    await until_status(client, cluster, lambda found: found["head"]["podIP"] == "127.77.0.77")
    assert len((await pods_of(client, cluster))["worker"]) == 1
    await client.patch(PODS, key_of(worker), {"metadata": {"finalizers": None}})
    await until_replaced(client, cluster, "worker", worker["metadata"]["uid"])


async def test_scaling_clamps_and_keeps_the_head(client: KubeClient, namespace: str) -> None:
    cluster = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "scaled"))
    await until_pods(client, cluster, 1, 1)
    group = {**cluster["spec"]["workerGroupSpecs"][0], "replicas": 9, "maxReplicas": 3}
    await change(client, cluster, {"workerGroupSpecs": [group]})
    await until_pods(client, cluster, 1, 3)
    await change(client, cluster, {"workerGroupSpecs": [{**group, "replicas": 0, "minReplicas": 1}]})
    await until_pods(client, cluster, 1, 1)


async def test_named_workers_go_and_are_replaced(client: KubeClient, namespace: str) -> None:
    cluster = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "named", workers=2))
    pods = await until_pods(client, cluster, 1, 2)
    name = pods["worker"][0]["metadata"]["name"]
    group = {**cluster["spec"]["workerGroupSpecs"][0], "scaleStrategy": {"workersToDelete": [name]}}
    await change(client, cluster, {"workerGroupSpecs": [group]})

    async def names() -> list[str]:
        return [pod["metadata"]["name"] for pod in (await pods_of(client, cluster))["worker"]]

    await until(
        names, f"two others than {name}", LIMIT_SECONDS, holds=lambda names: len(names) == 2 and name not in names
    )


async def test_suspend_deletes_all_pods_and_resume_makes_new_ones(client: KubeClient, namespace: str) -> None:
    cluster = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "asleep"))
    await made_ready(client, cluster)
    await change(client, cluster, {"suspend": True})
    status = await until_status(client, cluster, lambda found: found.get("state") == "suspended")
    assert condition(status, "RayClusterSuspended")[0] == "True"
    assert condition(status, "RayClusterSuspending")[0] == "False"
    assert condition(status, "RayClusterProvisioned")[0] == "False"
    await until_pods(client, cluster, 0, 0)
    assert (await client.get(SERVICES, "asleep-head-svc", namespace))["metadata"]["name"]
    await change(client, cluster, {"suspend": False})
    await made_ready(client, cluster)


async def test_a_cluster_of_another_manager_gets_nothing(client: KubeClient, namespace: str) -> None:
    manager = "kueue.x-k8s.io/multikueue"
    other = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "other", managedBy=manager))
    mine = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "mine"))
    await until_pods(client, mine, 1, 1)
    assert await pods_of(client, other) == {"head": [], "worker": []}
    assert not await status_of(client, other)


async def test_an_invalid_spec_gets_an_event_and_silence(client: KubeClient, namespace: str) -> None:
    manifest = ray_cluster(namespace, "wrong")
    manifest["spec"]["workerGroupSpecs"][0] |= {"minReplicas": 5, "maxReplicas": 2}
    cluster = await client.create(RAY_CLUSTERS, manifest)
    messages = await until(
        lambda: event_messages(client, cluster, "InvalidRayClusterSpec"), "an Event names the fault", LIMIT_SECONDS
    )
    assert "minReplicas 5 greater than maxReplicas 2" in messages[0]
    assert await pods_of(client, cluster) == {"head": [], "worker": []}
    assert not await status_of(client, cluster)


async def test_a_refused_pod_is_a_replica_failure_until_pods_are_made(client: KubeClient, namespace: str) -> None:
    manifest = ray_cluster(namespace, "refused")
    manifest["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["name"] = "Not_A_Name"
    cluster = await client.create(RAY_CLUSTERS, manifest)
    status = await until_status(client, cluster, lambda found: condition(found, "ReplicaFailure")[0] == "True")
    assert condition(status, "ReplicaFailure")[1] == "FailedCreateWorkerPod"
    pods = await pods_of(client, cluster)
    assert (len(pods["head"]), len(pods["worker"])) == (1, 0), "the head was made before, once"
    group = manifest["spec"]["workerGroupSpecs"][0]
    group["template"]["spec"]["containers"][0]["name"] = "ray-worker"
    await change(client, cluster, {"workerGroupSpecs": [group]})
    await until_pods(client, cluster, 1, 1)
    await until_status(client, cluster, lambda found: condition(found, "ReplicaFailure") == ("", ""))


async def test_token_authentication_makes_a_secret_and_shows_it_to_ray(client: KubeClient, namespace: str) -> None:
    cluster = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "secret", authOptions={"mode": "token"}))
    pods = await until_pods(client, cluster, 1, 1)
    secret = await client.get(SECRETS, "secret", namespace)
    assert list(secret["data"]) == ["auth_token"]
    for pod in (*pods["head"], *pods["worker"]):
        found = {entry["name"]: entry for entry in pod["spec"]["containers"][0]["env"]}
        assert found["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "secret", "key": "auth_token"}


async def test_replicas_of_several_hosts_live_and_die_whole(client: KubeClient, namespace: str) -> None:
    manifest = ray_cluster(namespace, "hosts")
    manifest["spec"]["workerGroupSpecs"][0] |= {"numOfHosts": 2, "replicas": 2}
    cluster = await client.create(RAY_CLUSTERS, manifest)
    pods = await until_pods(client, cluster, 1, 4)
    names = [pod["metadata"]["labels"]["ray.io/worker-group-replica-name"] for pod in pods["worker"]]
    assert sorted(names.count(name) for name in set(names)) == [2, 2]
    assert (await client.get(SERVICES, "hosts-headless", namespace))["spec"]["clusterIP"] == "None"
    await client.delete(PODS, key_of(pods["worker"][0]), grace_period_seconds=0)

    async def rebuilt() -> bool:
        left = (await pods_of(client, cluster))["worker"]
        labels = [pod["metadata"]["labels"] for pod in left]
        here = {each["ray.io/worker-group-replica-name"] for each in labels}
        indices = sorted(each["ray.io/worker-group-replica-index"] for each in labels)
        return names[0] not in here and indices == ["0", "0", "1", "1"]

    await until(rebuilt, "the whole replica is another one", LIMIT_SECONDS)


async def test_foreground_deletion_waits_for_the_pods(client: KubeClient, namespace: str) -> None:
    cluster = await client.create(RAY_CLUSTERS, ray_cluster(namespace, "leaving"))
    pods = await made_ready(client, cluster)
    held = pods["worker"][0]
    await client.patch(PODS, key_of(held), {"metadata": {"finalizers": ["rayfleet.test/hold"]}})
    await client.delete(RAY_CLUSTERS, key_of(cluster), propagation=Propagation.FOREGROUND)
    await until_pods(client, cluster, 0, 1)
    assert "deletionTimestamp" in (await client.get(RAY_CLUSTERS, "leaving", namespace))["metadata"]
    await client.patch(PODS, key_of(held), {"metadata": {"finalizers": None}})
    await until_gone(client, RAY_CLUSTERS, key_of(cluster), limit=LIMIT_SECONDS)
    assert await pods_of(client, cluster) == {"head": [], "worker": []}
