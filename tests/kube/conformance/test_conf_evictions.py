"""Evictions: a pod's deletion that its disruption budget may hold back.

Nobody counts pods here: a budget's status is what the test writes, as the disruption controller would.
"""

from typing import Any

import pytest

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.testing.raw_api import Answer, RawApi

LABELS = {"app": "a"}
RUNNING: Json = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
UNREADY: Json = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}


async def pod(api: RawApi, ns: str, status: ReadOnlyJson = RUNNING, name: str = "p") -> str:
    """Make a pod on a node that nobody runs, so that a deletion stays to be seen; return its path."""
    path = f"/api/v1/namespaces/{ns}/pods"
    spec = {"containers": [{"name": "c", "image": "i:1"}], "nodeName": "n"}
    made = await api.post(path, {"metadata": {"name": name, "labels": LABELS}, "spec": spec})
    assert made.status == 201, made.body
    stated = await api.patch(f"{path}/{name}/status", {"status": status})
    assert stated.status == 200, stated.body
    return f"{path}/{name}"


async def budget(api: RawApi, ns: str, *, allowed: int, name: str = "b", is_counted: bool = True, **spec: str) -> str:
    """Make a budget of the pods that so many may leave, as far as anybody has counted; return its path."""
    path = f"/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets"
    whole = {"minAvailable": 2, "selector": {"matchLabels": LABELS}, **spec}
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": whole}
    made = await api.post(path, body)
    assert made.status == 201, made.body
    generation = made.json["metadata"]["generation"]
    counts = {"disruptionsAllowed": allowed, "currentHealthy": 2 + allowed, "desiredHealthy": 2, "expectedPods": 3}
    turned = {"status": "True", "reason": "SufficientPods", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    conditions = [{"type": "DisruptionAllowed", **turned}]
    status = {**counts, "observedGeneration": generation if is_counted else generation - 1, "conditions": conditions}
    stated = await api.patch(f"{path}/{name}/status", {"status": status})
    assert stated.status == 200, stated.body
    return f"{path}/{name}"


async def evict(api: RawApi, path: str, name: str = "p", **more: object) -> Answer:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, **more}
    return await api.post(f"{path}/eviction", body)


async def is_going(api: RawApi, path: str) -> bool:
    return "deletionTimestamp" in (await api.get(path)).json["metadata"]


async def test_a_pod_without_budget_is_deleted_and_says_why(api: RawApi, ns: str) -> None:
    path = await pod(api, ns)
    answer = await evict(api, path)
    assert (answer.status, answer.json["kind"], answer.json["status"]) == (201, "Status", "Success")
    assert await is_going(api, path)
    reasons = {each["type"]: each.get("reason") for each in (await api.get(path)).json["status"]["conditions"]}
    assert reasons["DisruptionTarget"] == "EvictionByEvictionAPI"


async def test_a_budget_is_spent_by_one_and_notes_for_whom(api: RawApi, ns: str) -> None:
    path, of_budget = await pod(api, ns), await budget(api, ns, allowed=1)
    assert (await evict(api, path)).status == 201
    assert await is_going(api, path)
    status = (await api.get(of_budget)).json["status"]
    assert (status["disruptionsAllowed"], set(status["disruptedPods"])) == (0, {"p"})
    [condition] = status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "InsufficientPods")


async def test_what_a_budget_holds_back_stays(api: RawApi, ns: str) -> None:
    path = await pod(api, ns)
    await budget(api, ns, allowed=0)
    answer = await evict(api, path)
    assert (answer.status, answer.reason) == (429, "TooManyRequests")
    assert answer.json["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    [cause] = answer.json["details"]["causes"]
    words = "The disruption budget b needs 2 healthy pods and has 2 currently"
    assert cause == {"reason": "DisruptionBudget", "message": words}
    assert not await is_going(api, path)


async def test_a_budget_that_nobody_counted_holds_back_for_a_while(api: RawApi, ns: str) -> None:
    path = await pod(api, ns)
    await budget(api, ns, allowed=1, is_counted=False)
    answer = await evict(api, path)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "10")
    assert answer.json["details"]["retryAfterSeconds"] == 10
    assert "still being processed" in answer.json["details"]["causes"][0]["message"]
    assert not await is_going(api, path)


@pytest.mark.parametrize("status", [{"phase": "Pending"}, {"phase": "Failed"}, {"phase": "Succeeded"}])
async def test_what_serves_nobody_goes_past_the_budget(api: RawApi, ns: str, status: ReadOnlyJson) -> None:
    path = await pod(api, ns, status)
    await budget(api, ns, allowed=0)
    assert (await evict(api, path)).status == 201
    answer = await api.get(path)
    assert answer.status == 404 or "deletionTimestamp" in answer.json["metadata"]


@pytest.mark.parametrize("policy", [{"unhealthyPodEvictionPolicy": "AlwaysAllow"}, {}], ids=["always", "by default"])
async def test_a_pod_that_is_not_ready_costs_a_healthy_budget_nothing(
    api: RawApi, ns: str, policy: dict[str, Any]
) -> None:
    path = await pod(api, ns, UNREADY)
    of_budget = await budget(api, ns, allowed=0, **policy)
    assert (await evict(api, path)).status == 201
    assert "disruptedPods" not in (await api.get(of_budget)).json["status"]


async def test_a_pod_that_is_not_ready_stays_where_too_few_are(api: RawApi, ns: str) -> None:
    path, of_budget = await pod(api, ns, UNREADY), await budget(api, ns, allowed=0)
    await api.patch(f"{of_budget}/status", {"status": {"currentHealthy": 1}})
    assert (await evict(api, path)).status == 429
    assert not await is_going(api, path)


async def test_two_budgets_of_one_pod_are_refused(api: RawApi, ns: str) -> None:
    path = await pod(api, ns)
    await budget(api, ns, allowed=1)
    await budget(api, ns, allowed=1, name="c")
    answer = await evict(api, path)
    assert answer.status == 500
    assert "more than one PodDisruptionBudget" in answer.json["message"]
    assert not await is_going(api, path)


async def test_a_dry_run_spends_nothing(api: RawApi, ns: str) -> None:
    path, of_budget = await pod(api, ns), await budget(api, ns, allowed=1)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    assert (await api.post(f"{path}/eviction", body, dryRun="All")).status == 201
    assert (await evict(api, path, deleteOptions={"dryRun": ["All"]})).status == 201
    assert not await is_going(api, path)
    assert (await api.get(of_budget)).json["status"]["disruptionsAllowed"] == 1


async def test_options_are_those_of_the_deletion(api: RawApi, ns: str) -> None:
    path = await pod(api, ns)
    uid = {"preconditions": {"uid": "another"}}
    assert (await evict(api, path, deleteOptions=uid)).status == 409
    assert (await evict(api, path, deleteOptions={"gracePeriodSeconds": 7})).status == 201
    assert (await api.get(path)).json["metadata"]["deletionGracePeriodSeconds"] == 7


async def test_an_eviction_names_its_pod(api: RawApi, ns: str) -> None:
    path = await pod(api, ns)
    assert (await evict(api, path, name="q")).status == 400
    assert (await evict(api, f"/api/v1/namespaces/{ns}/pods/none", name="none")).status == 404
    assert (await api.get(f"{path}/eviction")).status == 405


async def test_clients_find_it_under_the_pods(api: RawApi) -> None:
    resources = (await api.get("/api/v1")).json["resources"]
    [entry] = [each for each in resources if each["name"] == "pods/eviction"]
    assert (entry["group"], entry["version"], entry["kind"]) == ("policy", "v1", "Eviction")
    assert entry["verbs"] == ["create"]
