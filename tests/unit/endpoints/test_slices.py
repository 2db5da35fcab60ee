"""What an EndpointSlice says. Rules: Kubernetes v1.36, endpointslice/utils.go."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from rayfleet.local.endpoints.plan import ObservedService, plan_slices
from rayfleet.local.endpoints.slices import endpoint_slices, is_same_slice, slice_name
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.planning.writes import Delete, Merge


def service(**spec: object) -> Json:
    ports = [{"name": "serve", "port": 80, "targetPort": 8000, "protocol": "TCP"}]
    return {
        "metadata": {"name": "web", "namespace": "n", "uid": "s", "labels": {"team": "a"}},
        "spec": {"selector": {"app": "web"}, "clusterIP": "10.0.0.7", "ports": ports, **spec},
    }


def pod(name: str = "p", *, ready: bool = True, labels: ReadOnlyJson | None = None, **fields: object) -> Json:
    meta = {"name": name, "namespace": "n", "uid": f"uid-{name}", "labels": labels or {"app": "web"}}
    ports = [{"name": "web", "containerPort": 8123}]
    return {
        "metadata": meta,
        "spec": {"nodeName": "local", "containers": [{"name": "c", "ports": ports}]},
        "status": {
            "phase": "Running",
            "podIP": "127.77.0.2",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            **fields,
        },
    }


def made(wanted: ReadOnlyJson, *pods: ReadOnlyJson) -> Json:
    [found] = endpoint_slices(wanted, pods)
    return found


def terminating(found: Json) -> Json:
    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return found


def conditions(wanted: ReadOnlyJson, found: ReadOnlyJson) -> tuple[bool, bool, bool]:
    said = made(wanted, found)["endpoints"][0]["conditions"]
    return said["ready"], said["serving"], said["terminating"]


@pytest.mark.parametrize(
    ("publishes_all", "found", "expected"),
    [
        (False, pod(), (True, True, False)),
        (False, pod(ready=False), (False, False, False)),
        (False, pod(conditions=[]), (False, False, False)),
        (False, terminating(pod()), (False, True, True)),
        (True, pod(ready=False), (True, False, False)),
        (True, terminating(pod()), (True, True, True)),
    ],
)
def test_conditions_tell_ready_serving_and_terminating(
    publishes_all: bool, found: ReadOnlyJson, expected: tuple[bool, bool, bool]
) -> None:
    assert conditions(service(publishNotReadyAddresses=publishes_all), found) == expected


@pytest.mark.parametrize(
    "found",
    [pod(podIP=""), pod(phase="Failed"), pod(phase="Succeeded"), pod(labels={"app": "other"})],
    ids=["without an address", "failed", "finished", "of other labels"],
)
def test_a_pod_that_cannot_answer_is_not_an_endpoint(found: ReadOnlyJson) -> None:
    assert made(service(), found)["endpoints"] == []


def test_an_endpoint_names_its_pod_and_node() -> None:
    (endpoint,) = made(service(), pod())["endpoints"]
    assert endpoint["addresses"] == ["127.77.0.2"]
    assert endpoint["nodeName"] == "local"
    assert endpoint["targetRef"] == {"kind": "Pod", "namespace": "n", "name": "p", "uid": "uid-p"}


def test_a_named_target_port_is_the_pods() -> None:
    ports = [{"name": "serve", "port": 80, "targetPort": "web"}, {"name": "lost", "port": 81, "targetPort": "nowhere"}]
    found = made(service(ports=ports), pod())
    assert found["ports"] == [{"name": "serve", "port": 8123, "protocol": "TCP"}]


def test_a_service_without_pods_has_an_empty_slice() -> None:
    found = made(service())
    assert (found["endpoints"], found["ports"]) == ([], [])


def test_labels_are_the_services_and_the_managers() -> None:
    assert made(service())["metadata"]["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert made(service(clusterIP="None"))["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


@pytest.mark.parametrize("spec", [{"selector": None}, {"type": "ExternalName"}])
def test_a_service_without_own_pods_has_no_slice(spec: ReadOnlyJson) -> None:
    assert endpoint_slices(service(**spec), [pod()]) == ()


def test_a_slice_belongs_to_its_service_and_has_its_name() -> None:
    found = made(service())
    assert found["metadata"]["name"] == slice_name("web") != slice_name("wed")
    assert found["metadata"]["ownerReferences"][0]["uid"] == "s"


def test_a_successor_of_the_same_name_has_another_slice() -> None:
    old = made(service(), pod())
    assert is_same_slice(old, made(service(), pod()))
    successor = service()
    successor["metadata"]["uid"] = "t"
    assert not is_same_slice(old, made(successor, pod()))
    assert not is_same_slice(old, made(service(), pod(ready=False)))


def at_port(name: str, number: int) -> Json:
    found = pod(name)
    found["spec"]["containers"][0]["ports"][0]["containerPort"] = number
    return found


def asked(slices: Sequence[ReadOnlyJson]) -> set[tuple[str, int]]:
    return {
        (endpoint["targetRef"]["name"], each["ports"][0]["port"]) for each in slices for endpoint in each["endpoints"]
    }


def test_pods_that_number_a_named_port_differently_are_each_asked_at_their_own() -> None:
    named = service(ports=[{"name": "serve", "port": 80, "targetPort": "web"}])
    old, new = at_port("x", 8000), at_port("a", 9000)
    [before] = endpoint_slices(named, [old])
    during = endpoint_slices(named, [old, new], before)
    assert asked(during) == {("x", 8000), ("a", 9000)}
    assert during[-1] == before  # nothing moves that is there
    assert len({each["metadata"]["name"] for each in during}) == 2
    [after] = endpoint_slices(named, [new], before)
    assert after["metadata"]["name"] == before["metadata"]["name"]
    assert asked([after]) == {("a", 9000)}


def test_what_is_left_moves_before_its_slice_goes() -> None:
    """Writes are made in order, so each endpoint is in a slice all the time."""
    named = service(ports=[{"name": "serve", "port": 80, "targetPort": "web"}])
    old, new = at_port("x", 8000), at_port("a", 9000)
    [before] = endpoint_slices(named, [old])
    other, main = endpoint_slices(named, [old, new], before)
    observed = ObservedService(service=named, pods=[new], main=main, slices=[other, main])
    plan = plan_slices(observed, datetime(2026, 1, 1, tzinfo=UTC))
    first, second = plan.actions
    assert isinstance(first, Merge)
    assert first.ref.key.name == main["metadata"]["name"]
    assert isinstance(second, Delete)
    assert second.ref.key.name == other["metadata"]["name"]
