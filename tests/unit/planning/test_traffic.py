"""Service and HTTPRoute of a fleet: made, kept as written, taken away; others' objects are left alone."""

from typing import Any

from rayfleet.model.json import Json
from rayfleet.model.resources import HTTP_ROUTES, SERVICES
from rayfleet.objects.conditions import find_condition
from rayfleet.planning.fleet.drift import drift_patch
from rayfleet.testing.planner_world import PlannerWorld

MODEL = "model.aibrix.ai/name"
FLEET = "orchestration.aibrix.ai/raycluster-fleet-name"
NETWORK = (SERVICES, HTTP_ROUTES)


def make_world(model: str | None = "qwen", *, pod_labels: bool = True) -> PlannerWorld:
    labels = {MODEL: model} if model else {}
    pod: Json = {"spec": {"containers": [{"name": "ray", "image": "ray:1"}]}}
    if pod_labels:
        pod["metadata"] = {"labels": labels}
    world = PlannerWorld()
    world.apply_fleet(
        {
            "apiVersion": "orchestration.aibrix.ai/v1alpha1",
            "kind": "RayClusterFleet",
            "metadata": {"name": "fleet"},
            "spec": {
                "selector": {"matchLabels": {"app": "x"}},
                "template": {
                    "metadata": {"labels": {"app": "x", **labels}},
                    "spec": {"headGroupSpec": {"template": pod}},
                },
            },
        }
    )
    return world


def service(world: PlannerWorld, name: str = "fleet") -> Json:
    return world.objects["Service"][name]


def route(world: PlannerWorld) -> Json:
    return world.objects["HTTPRoute"]["fleet-router"]


def foreign_service(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": {"a": "b"}}}


def test_requests_for_the_model_reach_the_head_pods_of_the_fleet() -> None:
    world = make_world()
    world.settle()
    assert service(world)["spec"] == {
        "selector": {FLEET: "fleet", "ray.io/node-type": "head", MODEL: "qwen"},
        "ports": [
            {"name": "serve", "port": 8000, "protocol": "TCP", "targetPort": 8000},
            {"name": "http", "port": 8080, "protocol": "TCP", "targetPort": 8080},
        ],
    }
    [rule] = route(world)["spec"]["rules"]
    assert [match["path"]["value"] for match in rule["matches"]] == ["/v1/completions", "/v1/chat/completions"]
    assert {match["headers"][0]["value"] for match in rule["matches"]} == {"qwen"}
    assert rule["timeouts"] == {"request": "120s"}
    assert rule["backendRefs"][0]["name"] == "fleet"
    assert world.fleet["status"]["model"] == "qwen"


def test_pods_without_the_model_label_are_found_by_the_fleet_alone() -> None:
    world = make_world(pod_labels=False)
    world.settle()
    assert service(world)["spec"]["selector"] == {FLEET: "fleet", "ray.io/node-type": "head"}


def test_a_fleet_that_names_no_model_has_no_way_in() -> None:
    world = make_world(model=None)
    world.settle()
    assert "model" not in world.fleet["status"]
    assert (world.objects.get("Service"), world.objects.get("HTTPRoute")) == ({}, {})


def test_the_way_in_goes_with_the_model_s_name() -> None:
    world = make_world()
    world.settle()
    del world.fleet["spec"]["template"]["metadata"]["labels"][MODEL]
    world.fleet["metadata"]["generation"] += 1
    world.settle()
    assert (world.objects["Service"], world.objects["HTTPRoute"]) == ({}, {})


def test_what_we_wrote_is_set_right_and_what_others_added_stays() -> None:
    world = make_world()
    world.settle()
    service(world)["spec"]["selector"]["extra"] = "narrower"
    service(world)["spec"]["ports"][0]["targetPort"] = 1
    service(world)["spec"]["clusterIP"] = "10.0.0.1"
    service(world)["metadata"]["labels"]["theirs"] = "stays"
    route(world)["spec"]["rules"][0]["timeouts"]["request"] = "1s"
    route(world)["spec"]["hostnames"] = ["example.org"]
    world.settle()
    assert service(world)["spec"]["selector"].get("extra") is None
    assert service(world)["spec"]["ports"][0]["targetPort"] == 8000
    assert service(world)["spec"]["clusterIP"] == "10.0.0.1"
    assert service(world)["metadata"]["labels"]["theirs"] == "stays"
    assert route(world)["spec"]["rules"][0]["timeouts"]["request"] == "120s"
    assert route(world)["spec"]["hostnames"] == ["example.org"]


def test_what_a_server_fills_in_is_no_drift() -> None:
    world = make_world()
    world.settle()
    service(world)["spec"]["type"] = "ClusterIP"
    service(world)["spec"]["ports"][0]["nodePort"] = 30000
    service(world)["metadata"]["ownerReferences"].append({"uid": "another", "name": "x"})
    route(world)["spec"]["rules"][0]["name"] = "filled-in"
    assert world.all_passes() == []


def test_ours_steps_aside_for_a_service_of_the_fleet_s_name() -> None:
    """As in the published manifest: it brings a Service of its own, which sends requests to workers too."""
    world = make_world()
    world.stored.create(foreign_service("fleet"))
    world.settle()
    assert service(world)["spec"] == {"selector": {"a": "b"}}
    assert service(world, "fleet-head")["spec"]["selector"]["ray.io/node-type"] == "head"
    assert route(world)["spec"]["rules"][0]["backendRefs"][0]["name"] == "fleet-head"


def test_ours_stays_where_it_is_when_the_name_gets_free() -> None:
    world = make_world()
    world.stored.create(foreign_service("fleet"))
    world.settle()
    del world.objects["Service"]["fleet"]
    assert world.all_passes() == []


def test_no_free_name_is_said() -> None:
    world = make_world()
    for name in ("fleet", "fleet-head"):
        world.stored.create(foreign_service(name))
    plan = world.fleet_pass()
    condition = find_condition(plan.status.conditions, "Routed")
    assert condition is not None
    assert (
        condition.message
        == "Services fleet and fleet-head exist and are not this fleet's: delete or rename one of them"
    )
    assert not [action for action in plan.actions if action.resource in NETWORK]


def test_a_route_of_somebody_else_is_said_and_left() -> None:
    world = make_world()
    theirs: Json = {"apiVersion": "x/v1", "kind": "HTTPRoute", "metadata": {"name": "fleet-router"}, "spec": {}}
    world.stored.create(theirs)
    world.settle()
    assert route(world)["spec"] == {}
    [routed] = [each for each in world.fleet["status"]["conditions"] if each["type"] == "Routed"]
    assert routed["message"] == "HTTPRoute fleet-router exists and is not this fleet's: delete or rename it"


def test_the_port_that_the_label_names_is_the_engine_s() -> None:
    world = make_world()
    world.fleet["spec"]["template"]["metadata"]["labels"]["model.aibrix.ai/port"] = "9000"
    world.settle()
    assert service(world)["spec"]["ports"][0] == {"name": "serve", "port": 8000, "protocol": "TCP", "targetPort": 9000}


def test_a_patch_says_only_what_drifted() -> None:
    desired: Any = {"a": {"b": 1, "c": [{"d": 1}]}, "e": 2}
    assert drift_patch({"a": {"b": 1, "c": [{"d": 1, "more": 1}], "f": 1}, "e": 2}, desired) == {}
    assert drift_patch({"a": {"b": 0, "c": []}, "e": 2}, desired) == {"a": {"b": 1, "c": [{"d": 1}]}}
    assert drift_patch({"e": 2}, desired) == {"a": desired["a"]}
