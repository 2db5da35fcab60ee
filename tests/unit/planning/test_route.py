"""The one HTTPRoute of a model: shared by its fleets, theirs all, gone with the last; whose a name is; what is said."""

from dataclasses import replace

import pytest

from rayfleet.controllers.route import observed_route, observed_route_of, route_steps
from rayfleet.model.absence import no_such_kind
from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.policies import ParentGateway, RouteDefaults
from rayfleet.model.resources import ENDPOINT_SLICES, FLEETS, HTTP_ROUTES, SERVICES, ResourceType
from rayfleet.objects.conditions import find_condition, new_condition
from rayfleet.objects.meta import key_of, name_of
from rayfleet.objects.owners import controller_reference
from rayfleet.objects.times import encode_time
from rayfleet.planning.names import route_name
from rayfleet.planning.route.conditions import with_routing
from rayfleet.planning.route.plan import plan_route
from rayfleet.planning.route.users import bears_on_routes
from rayfleet.planning.writes import Create, Delete, Merge, Replace, WriteFailure
from rayfleet.testing.route_world import ROUTE, START, RouteWorld, backend, made, planned, said, weights

_NAMED = {"name": "a", "namespace": "n", "uid": "u", "labels": {"model.aibrix.ai/name": "m"}}

MODEL = "model.aibrix.ai/name"


def test_requests_for_the_model_go_to_the_fleet() -> None:
    world = RouteWorld()
    world.fleet("one")
    route = made(world)
    [rule] = route["spec"]["rules"]
    assert [match["path"]["value"] for match in rule["matches"]] == ["/v1/completions", "/v1/chat/completions"]
    assert {match["headers"][0]["value"] for match in rule["matches"]} == {"qwen"}
    assert rule["timeouts"] == {"request": "120s"}
    [reference] = rule["backendRefs"]
    assert reference == {"group": "", "kind": "Service", "name": backend("one"), "port": 8000, "weight": 1}
    [parent] = route["spec"]["parentRefs"]
    assert (parent["name"], parent["namespace"]) == ("rayfleet", "rayfleet-system")
    assert all(route["metadata"].values()), "an API server keeps nothing empty: it would look like drift for ever"


def test_two_fleets_of_one_model_share_its_route() -> None:
    """The younger got nothing, and the model was 503 when the older was scaled to 0."""
    world = RouteWorld()
    world.fleet("old", age=60, available=0)
    world.fleet("new", available=2)
    route = made(world)
    assert weights(route) == {backend("old"): 0, backend("new"): 1}
    assert [owner["name"] for owner in route["metadata"]["ownerReferences"]] == ["old", "new"]
    assert not any(owner.get("controller") for owner in route["metadata"]["ownerReferences"])


def test_a_fleet_becomes_a_backend_when_its_service_is_there() -> None:
    world = RouteWorld()
    world.fleet("one")
    world.store(SERVICES).remove(ObjectKey(namespace="default", name=backend("one")))
    assert planned(world) == ()


def test_a_service_that_is_gone_for_a_moment_stays_a_backend() -> None:
    world = RouteWorld()
    world.fleet("one")
    world.apply(*planned(world))
    world.store(SERVICES).remove(ObjectKey(namespace="default", name=backend("one")))
    assert planned(world) == ()


def test_the_route_goes_with_the_last_fleet_that_wants_one() -> None:
    world = RouteWorld()
    world.fleet("one", age=2)
    world.fleet("two", age=1)
    world.apply(*planned(world))
    one = world.fleet("one", age=2, enabled=False)
    [shared] = planned(world)
    assert isinstance(shared, Merge)
    assert [owner["name"] for owner in shared.patch["metadata"]["ownerReferences"]] == ["two"]
    world.fleet("two", age=1, enabled=False)
    [gone] = planned(world)
    assert isinstance(gone, Delete)
    world.store(FLEETS).remove(key_of(one))
    world.store(FLEETS).remove(ObjectKey(namespace="default", name="two"))
    about = route_steps(world).find(ObjectKey(namespace="default", name=ROUTE))
    assert about is not None
    assert name_of(about) == ROUTE
    [gone] = planned(world)
    assert isinstance(gone, Delete)


def test_a_label_change_moves_the_route_and_leaves_the_others_of_the_model_alone() -> None:
    world = RouteWorld()
    world.fleet("stays", age=2)
    world.fleet("moves", age=1)
    world.apply(*planned(world))
    world.fleet("moves", age=1, model="llama")
    [left] = planned(world)
    assert isinstance(left, Merge)
    assert weights({"spec": left.patch["spec"]}) == {backend("stays"): 1}
    key = ObjectKey(namespace="default", name=route_name("llama"))
    [new] = plan_route(observed_route(key, world, RouteDefaults()), START).actions
    assert isinstance(new, Create)
    assert weights(new.manifest) == {backend("moves"): 1}


def test_what_fleets_do_not_agree_on_is_as_the_oldest_that_says_something_has_it() -> None:
    world = RouteWorld()
    world.fleet("quiet", age=3)
    world.fleet("old", age=2, timeoutSeconds=0, hostnames=["a.example"])
    world.fleet("new", age=1, timeoutSeconds=9, paths=["/v1"], parentRef={"name": "own", "sectionName": "http"})
    route = made(world, RouteDefaults(paths=("/ignored",)))
    [rule] = route["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s"}
    assert [match["path"]["value"] for match in rule["matches"]] == ["/v1"]
    assert route["spec"]["hostnames"] == ["a.example"]
    [parent] = route["spec"]["parentRefs"]
    assert (parent["name"], parent["namespace"], parent["sectionName"]) == ("own", "default", "http")


def test_the_controller_s_flags_hold_where_fleets_say_nothing() -> None:
    world = RouteWorld()
    world.fleet("one")
    parent = ParentGateway(name="edge", namespace="infra")
    route = made(world, RouteDefaults(parent=parent, hostnames=("h",), paths=("/p",), timeout_seconds=7))
    [rule] = route["spec"]["rules"]
    assert (rule["timeouts"], rule["matches"][0]["path"]["value"]) == ({"request": "7s"}, "/p")
    assert route["spec"]["hostnames"] == ["h"]
    assert route["spec"]["parentRefs"][0]["name"] == "edge"


def test_what_aibrix_reads_of_a_fleet_is_honoured() -> None:
    world = RouteWorld()
    annotations = {
        MODEL: "Qwen/Qwen3-8B",
        "model.aibrix.ai/service-name": "mine",
        "model.aibrix.ai/model-router-custom-paths": "/v1/score, /v1/pooling,bad",
    }
    raw = world.fleet("one", annotations=annotations)
    raw["metadata"]["labels"].clear()
    raw["metadata"]["labels"]["model.aibrix.ai/port"] = "9000"
    world.store(FLEETS).put(raw)
    key = ObjectKey(namespace="default", name=route_name("Qwen/Qwen3-8B"))
    [action] = plan_route(observed_route(key, world, RouteDefaults()), START).actions
    assert isinstance(action, Create)
    [rule] = action.manifest["spec"]["rules"]
    assert (rule["backendRefs"][0]["name"], rule["backendRefs"][0]["port"]) == ("mine", 9000)
    paths = [match["path"]["value"] for match in rule["matches"]]
    assert paths == ["/v1/completions", "/v1/chat/completions", "/v1/score", "/v1/pooling"]
    assert {match["headers"][0]["value"] for match in rule["matches"]} == {"Qwen/Qwen3-8B"}
    assert "labels" not in action.manifest["metadata"]


def test_what_we_wrote_is_set_right_and_what_others_added_stays() -> None:
    world = RouteWorld()
    world.fleet("one")
    world.apply(*planned(world))
    raw = world.store(HTTP_ROUTES).get(ObjectKey(namespace="default", name=ROUTE))
    assert raw is not None
    raw["metadata"]["labels"]["theirs"] = "stays"
    raw["metadata"]["ownerReferences"].append({"kind": "Other", "apiVersion": "x/v1", "name": "x", "uid": "x"})
    raw["spec"]["rules"][0]["name"] = "filled-in"
    assert planned(world) == ()
    raw["spec"]["rules"][0]["timeouts"]["request"] = "1s"
    raw["spec"]["hostnames"] = ["by.hand"]
    [action] = planned(world)
    assert isinstance(action, Merge)
    assert action.patch["spec"]["rules"][0]["timeouts"] == {"request": "120s"}
    assert action.patch["spec"]["hostnames"] is None
    assert "metadata" not in action.patch


def test_the_profile_is_the_oldest_fleet_s_that_names_one_and_goes_with_its_annotation() -> None:
    profile = "gateway.rayfleet.dev/profile"
    world = RouteWorld()
    world.fleet("old", age=3)
    world.fleet("middle", age=2, annotations={profile: "sticky"})
    world.fleet("new", age=1, annotations={profile: "random"})
    assert made(world)["metadata"]["annotations"][profile] == "sticky"
    world.apply(*planned(world))
    assert planned(world) == ()
    world.fleet("middle", age=2)
    [changed] = planned(world)
    assert isinstance(changed, Merge)
    assert changed.patch["metadata"] == {"annotations": {profile: "random"}}
    world.fleet("new", age=1)
    [taken_off] = planned(world)
    assert isinstance(taken_off, Merge)
    assert taken_off.patch == {"metadata": {"annotations": {profile: None}}}


def test_somebody_else_s_route_is_said_and_left() -> None:
    world = RouteWorld()
    fleet = world.fleet("one")
    world.put(HTTP_ROUTES, {"metadata": {"name": ROUTE}, "spec": {}})
    assert planned(world) == ()
    assert said(world, fleet)["Routed"][:2] == ("False", "NotOwned")


def test_what_gateways_say_is_passed_on() -> None:
    world = RouteWorld()
    fleet = world.fleet("one")
    world.apply(*planned(world))
    raw = world.store(HTTP_ROUTES).get(ObjectKey(namespace="default", name=ROUTE))
    assert raw is not None
    conditions = [
        {"type": "Accepted", "status": "True", "reason": "Accepted"},
        {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "message": "no such Service"},
    ]
    parents = [{"parentRef": {"name": "edge"}, "conditions": conditions}]
    world.store(HTTP_ROUTES).put({**raw, "status": {"parents": parents}})
    assert said(world, fleet)["Routed"] == ("False", "BackendNotFound", "Gateway edge: no such Service")
    world.store(HTTP_ROUTES).put(raw)
    assert said(world, fleet) == {}


def test_a_missing_kind_costs_the_route_alone_and_is_said() -> None:
    world = RouteWorld()
    fleet = world.fleet("one")
    world.absent[HTTP_ROUTES] = no_such_kind(HTTP_ROUTES)
    assert planned(world) == ()
    assert said(world, fleet)["Routed"][:2] == ("False", "NoSuchKind")


def test_a_refused_write_is_told_by_the_fleets_that_wanted_it_until_one_is_taken() -> None:
    world = RouteWorld()
    world.fleet("one")
    key = ObjectKey(namespace="default", name=ROUTE)
    observed = observed_route(key, world, RouteDefaults())
    [refused] = plan_route(observed, START).actions
    failure = WriteFailure(action=refused, message="forbidden: no")
    plan = plan_route(replace(observed, failure=failure), START)
    [status] = plan.actions
    assert isinstance(status, Replace)
    assert status.ref.resource_version
    [condition] = status.content["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Routed", "False", "RouteRefused")
    assert status.content["availableReplicas"] == 1
    assert [event.reason for event in plan.events] == ["RouteRefused"]
    fleet = world.store(FLEETS).get(ObjectKey(namespace="default", name="one"))
    assert fleet is not None
    world.store(FLEETS).put({**fleet, "status": status.content})
    again = observed_route(key, world, RouteDefaults())
    assert plan_route(replace(again, failure=failure), START).actions == ()
    created, back = plan_route(again, START).actions
    assert isinstance(created, Create)
    assert isinstance(back, Replace)
    assert back.content["conditions"] == []


def test_the_fleet_itself_leaves_a_refusal_as_it_stands() -> None:
    world = RouteWorld()
    fleet = world.fleet("one")
    refusal = new_condition("Routed", ConditionStatus.FALSE, "RouteRefused", "no", START)
    assert said(world, fleet, (refusal,))["Routed"][1] == "RouteRefused"
    off = world.fleet("one", enabled=False)
    assert said(world, off, (refusal,)) == {}


def of_old(world: RouteWorld, kind: ResourceType, name: str) -> Json:
    owner = controller_reference(FLEETS, "one", "default-one")
    return world.put(kind, {"metadata": {"name": name, "ownerReferences": [owner]}})


def slice_of(world: RouteWorld, service: ReadOnlyJson) -> None:
    meta = {"name": f"{name_of(service)}-1", "ownerReferences": [service_reference(service)]}
    endpoint = {"addresses": ["10.0.0.1"], "conditions": {"ready": True}}
    world.put(ENDPOINT_SLICES, {"metadata": meta, "endpoints": [endpoint]})


def service_reference(service: ReadOnlyJson) -> Json:
    return controller_reference(SERVICES, name_of(service), service["metadata"]["uid"])


def test_what_has_a_name_of_old_goes_after_what_takes_its_place() -> None:
    world = RouteWorld()
    world.fleet("one")
    service, route = of_old(world, SERVICES, "one"), of_old(world, HTTP_ROUTES, "one-router")
    slice_of(world, service)
    [only] = planned(world)
    assert isinstance(only, Create)
    world.apply(only)
    heir = world.store(SERVICES).get(ObjectKey(namespace="default", name=backend("one")))
    assert heir is not None
    slice_of(world, heir)
    actions = planned(world)
    assert [(type(each), each.ref.key.name) for each in actions if isinstance(each, Delete)] == [
        (Delete, name_of(route)),
        (Delete, name_of(service)),
    ]
    assert len(actions) == 2


def test_a_fleet_that_is_deleted_wants_no_route_any_more() -> None:
    world = RouteWorld()
    fleet = world.fleet("one")
    world.apply(*planned(world))
    going = {**fleet, "metadata": {**fleet["metadata"], "deletionTimestamp": encode_time(START)}}
    world.store(FLEETS).put(going)
    [action] = planned(world)
    assert isinstance(action, Delete)
    assert (
        find_condition(
            with_routing((), observed_route_of(going, world, RouteDefaults()), key_of(going), START), "Routed"
        )
        is None
    )


@pytest.mark.parametrize(
    ("name", "is_read"),
    [
        ("gateway.rayfleet.dev/profile", True),
        ("model.aibrix.ai/model-router-custom-paths", True),
        ("model.aibrix.ai/service-name", True),
        ("team", False),
    ],
)
def test_a_changed_annotation_wakes_the_route_that_is_made_from_it(name: str, is_read: bool) -> None:
    before, after = ({"metadata": {**_NAMED, "annotations": {name: value}}} for value in ("/a", "/b"))
    assert bears_on_routes(before, after) is is_read
