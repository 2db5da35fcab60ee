"""What the collector and the namespace controller make of a server that fails half-way through a look."""

from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime

import orjson
from aiohttp import web

from rayfleet.kube.client import KubeClient
from rayfleet.kube.watches import Reflectors
from rayfleet.local.garbage.collector import garbage_steps
from rayfleet.local.garbage.kinds import GraphKinds
from rayfleet.local.garbage.namespaces import FINALIZER, namespace_steps
from rayfleet.local.garbage.nodes import COLLECTED
from rayfleet.model.json import Json
from rayfleet.model.resources import NAMESPACES, PODS, RAY_CLUSTERS
from rayfleet.objects.owners import controller_reference
from rayfleet.planning.plan import StatelessPlan
from rayfleet.planning.writes import described
from rayfleet.testing.scripted_server import json_answer, scripted_server, status_answer

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def pod(name: str) -> Json:
    meta = {"name": name, "namespace": "n", "uid": name, "resourceVersion": "5"}
    return {"metadata": {**meta, "ownerReferences": [controller_reference(RAY_CLUSTERS, "owner", "owner")]}}


class Server:
    """Answers reads by path; ``broken`` paths fail the first time that they are asked for."""

    def __init__(self, objects: Mapping[str, Json], *broken: str) -> None:
        self._objects = objects
        self._broken = set(broken)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path in self._broken:
            self._broken.discard(request.path)
            return status_answer(503, "ServiceUnavailable")
        if request.path in self._objects:
            return json_answer(self._objects[request.path])
        return status_answer(404, "NotFound")


async def collected(server: Server, *pods: Json) -> StatelessPlan:
    """Return the plan of one look by stores that have the pods alone: their owner's is late."""
    async with scripted_server(server.answer) as address, KubeClient(address) as client:
        reflectors = Reflectors(client, COLLECTED)
        for each in pods:
            reflectors.store(PODS).put(each)
        steps = garbage_steps(client, GraphKinds(client, reflectors))
        observation = steps.observe({})
        assert isinstance(observation, Awaitable)
        return steps.plan(await observation, NOW)


async def test_an_owner_that_could_not_be_asked_about_is_not_gone() -> None:
    """Neither for the first dependent nor, from what is remembered of the look, for the next."""
    objects = {f"/api/v1/namespaces/n/pods/{name}": pod(name) for name in ("one", "two")}
    owner = "/apis/ray.io/v1/namespaces/n/rayclusters/owner"
    there = {"metadata": {"name": "owner", "namespace": "n", "uid": "owner"}}
    plan = await collected(Server({**objects, owner: there}, owner), pod("one"), pod("two"))
    assert plan.actions == ()
    assert plan.requeue_after is not None


GROUPS = {"groups": [{"preferredVersion": {"groupVersion": "ray.io/v1"}}]}


def served(group_version: str, kind: str, plural: str) -> Json:
    resource = {"name": plural, "kind": kind, "namespaced": True, "verbs": ["list", "delete"]}
    return {"groupVersion": group_version, "resources": [resource]}


async def emptied(*broken: str, **lists: list[Json]) -> StatelessPlan:
    """Return the plan for a namespace that goes, of pods and Ray clusters."""
    meta = {"name": "n", "uid": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    namespace = {"metadata": meta, "spec": {"finalizers": [FINALIZER]}}
    objects: dict[str, Json] = {
        "/apis": GROUPS,
        "/api/v1": served("v1", "Pod", "pods"),
        "/apis/ray.io/v1": served("ray.io/v1", "RayCluster", "rayclusters"),
        "/api/v1/namespaces/n/pods": {"metadata": {"resourceVersion": "9"}, "items": lists["pods"]},
        "/apis/ray.io/v1/namespaces/n/rayclusters": {"metadata": {"resourceVersion": "9"}, "items": []},
        "/api/v1/namespaces/n": namespace,
    }
    async with scripted_server(Server(objects, *broken).answer) as address, KubeClient(address) as client:
        steps = namespace_steps(client, Reflectors(client, (NAMESPACES,)))
        observation = steps.observe(orjson.loads(orjson.dumps(namespace)))
        assert isinstance(observation, Awaitable)
        return steps.plan(await observation, NOW)


async def test_a_kind_that_cannot_be_listed_keeps_no_other_in_its_namespace() -> None:
    plan = await emptied("/apis/ray.io/v1/namespaces/n/rayclusters", pods=[pod("one")])
    assert [described(action) for action in plan.actions] == ["delete Pod/one (background)"]
    assert plan.requeue_after is not None


async def test_a_namespace_is_not_let_go_of_while_a_kind_cannot_be_listed() -> None:
    plan = await emptied("/apis/ray.io/v1/namespaces/n/rayclusters", pods=[])
    assert plan.actions == ()
    assert plan.requeue_after is not None
    assert len((await emptied(pods=[])).actions) == 1
