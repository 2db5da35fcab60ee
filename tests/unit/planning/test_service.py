"""Service of a fleet: made, kept as written, taken away; named as no file names one; where its port leads."""

from typing import Any

import pytest

from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.resources import SERVICES
from rayfleet.objects.meta import name_of
from rayfleet.planning.drift import drift_patch
from rayfleet.planning.names import route_name, service_name
from rayfleet.testing.planner_world import PlannerWorld

MODEL = "model.aibrix.ai/name"
PORT = "model.aibrix.ai/port"
FLEET = "orchestration.aibrix.ai/raycluster-fleet-name"


def template(port: int | None = None, name: str = "", image: str = "ray:1") -> Json:
    """Return a template whose engine listens on ``port``, which its head gives a name, or none."""
    container: Json = {"name": "ray", "image": image}
    if name:
        container["ports"] = [{"name": "client", "containerPort": 10001}, {"name": name, "containerPort": port or 8000}]
    labels = {"app": "x"} | ({PORT: str(port)} if port else {})
    return {
        "metadata": {"labels": labels},
        "spec": {"headGroupSpec": {"template": {"spec": {"containers": [container]}}}},
    }


def make_world(model: str | None = "qwen", *, replicas: int = 1, of: Json | None = None) -> PlannerWorld:
    world = PlannerWorld()
    world.apply_fleet(
        {
            "apiVersion": "orchestration.aibrix.ai/v1alpha1",
            "kind": "RayClusterFleet",
            "metadata": {"name": "fleet", "labels": {MODEL: model} if model else {}},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "x"}},
                "template": of or template(),
            },
        }
    )
    return world


def service(world: PlannerWorld) -> Json:
    [raw] = world.objects["Service"].values()
    return raw


def target(world: PlannerWorld) -> Any:
    return service(world)["spec"]["ports"][0]["targetPort"]


def test_requests_reach_the_head_pods_of_the_fleet_and_no_worker() -> None:
    world = make_world()
    world.settle()
    assert service(world)["spec"] == {
        "selector": {FLEET: "fleet", "ray.io/node-type": "head"},
        "ports": [
            {"name": "serve", "port": 8000, "protocol": "TCP", "targetPort": 8000},
            {"name": "http", "port": 8080, "protocol": "TCP", "targetPort": 8080},
        ],
    }
    assert world.fleet["status"]["model"] == "qwen"


def test_a_fleet_that_names_no_model_has_no_service_and_it_goes_with_the_name() -> None:
    world = make_world(model=None)
    world.settle()
    assert world.objects.get("Service") == {}
    assert "model" not in world.fleet["status"]
    world = make_world()
    world.settle()
    del world.fleet["metadata"]["labels"][MODEL]
    world.settle()
    assert world.objects["Service"] == {}


def test_what_we_wrote_is_set_right_and_what_others_added_stays() -> None:
    world = make_world()
    world.settle()
    service(world)["spec"]["selector"]["extra"] = "narrower"
    service(world)["spec"]["ports"][0]["targetPort"] = 1
    service(world)["spec"]["clusterIP"] = "10.0.0.1"
    service(world)["metadata"]["labels"]["theirs"] = "stays"
    world.settle()
    assert service(world)["spec"]["selector"].get("extra") is None
    assert target(world) == 8000
    assert service(world)["spec"]["clusterIP"] == "10.0.0.1"
    assert service(world)["metadata"]["labels"]["theirs"] == "stays"


def test_what_a_server_fills_in_is_no_drift() -> None:
    world = make_world()
    world.settle()
    service(world)["spec"]["type"] = "ClusterIP"
    service(world)["spec"]["ports"][0]["nodePort"] = 30000
    service(world)["metadata"]["ownerReferences"].append({"uid": "another", "name": "x"})
    assert world.all_passes() == []


@pytest.mark.parametrize("name", ["fleet", "f" * 63, "7b.instruct", "x" * 51 + "-y"])
def test_a_name_of_ours_is_a_host_name_that_no_file_knows(name: str) -> None:
    """A file is written before there is a UID: what it may make is named otherwise (AIBrix' samples: NAME, NAME-…)."""
    one, other = (service_name(ObjectMeta(name=name, uid=uid)) for uid in ("1", "2"))
    assert one != other
    assert len(one) <= 63
    assert one[0].isalpha()
    assert not set(one) - set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert "--" not in one
    assert len(route_name(name)) <= 63


def test_the_port_that_the_label_names_is_the_engine_s() -> None:
    world = make_world(of=template(9000))
    world.settle()
    assert service(world)["spec"]["ports"][0] == {"name": "serve", "port": 8000, "protocol": "TCP", "targetPort": 9000}


def test_a_port_that_every_revision_names_alike_is_meant_by_its_name() -> None:
    """Then each pod is asked at its own number all through a rollout to another port."""
    world = make_world(of=template(8000, "service"), replicas=2)
    world.settle()
    assert target(world) == "service"
    world.change_spec({"template": template(9000, "service", "ray:2")})
    seen = set()
    for _ in range(12):
        world.all_passes()
        seen.add(target(world))
        world.make_ready(*world.names())
        world.finish_deletions()
    assert seen == {"service"}


def test_a_port_without_a_common_name_is_that_of_most_ready_replicas() -> None:
    world = make_world(of=template(8000, "service"), replicas=2)
    world.settle()
    world.change_spec({"template": template(9000, "other", "ray:2")})
    world.fleet_pass()
    assert target(world) == 8000
    world.settle()
    assert target(world) == "other"


def test_of_several_common_names_the_one_that_is_written_stays() -> None:
    world = make_world(of=template(8000, "service"))
    world.settle()
    both = template(8000, "service", "ray:2")
    ports = both["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["ports"]
    ports.insert(0, {"name": "a-name", "containerPort": 8000})
    world.change_spec({"template": both})
    world.settle()
    assert target(world) == "service"


def test_a_user_s_service_of_the_fleet_s_name_is_no_business_of_ours() -> None:
    world = make_world()
    world.stored.create({"apiVersion": "v1", "kind": SERVICES.kind, "metadata": {"name": "fleet"}, "spec": {"a": "b"}})
    world.settle()
    assert world.objects["Service"]["fleet"]["spec"] == {"a": "b"}
    assert len(world.objects["Service"]) == 2
    assert [name_of(raw) for raw in world.stored.store(SERVICES).by_owner(world.fleet["metadata"]["uid"])] != ["fleet"]


def test_a_patch_says_only_what_drifted() -> None:
    desired: Any = {"a": {"b": 1, "c": [{"d": 1}]}, "e": 2}
    assert drift_patch({"a": {"b": 1, "c": [{"d": 1, "more": 1}], "f": 1}, "e": 2}, desired) == {}
    assert drift_patch({"a": {"b": 0, "c": []}, "e": 2}, desired) == {"a": {"b": 1, "c": [{"d": 1}]}}
    assert drift_patch({"e": 2}, desired) == {"a": desired["a"]}
