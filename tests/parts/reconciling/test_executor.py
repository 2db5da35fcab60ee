"""What the executor makes of each answer: success, look again, or a refusal to tell of."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from aiohttp import web

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import Conflict, ServerError, Unreachable
from rayfleet.kube.lease import LeadershipLost
from rayfleet.kube.watches import Reflectors
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.planning.writes import Action, CreateTogether, Delete, Event, ObjectRef, scaled, status_replaced
from rayfleet.reconciling.executor import Executor, NameTaken, WriteRefused
from rayfleet.reconciling.own_writes import OwnWrites
from rayfleet.testing.scripted_server import json_answer, scripted_server, status_answer

KEY = ObjectKey(namespace="n", name="model")
REF = ObjectRef(key=KEY, uid="u1", resource_version="5")
Answer = Callable[[], web.Response]


def ray_cluster(name: str, owner: str = "owner") -> Json:
    meta = {"name": name, "namespace": "n", "ownerReferences": [{"uid": owner, "controller": True}]}
    return {"metadata": meta | {"resourceVersion": "9"}}


CREATE = CreateTogether(resource=RAY_CLUSTERS, manifests=(ray_cluster("a"),))
DELETE = Delete(resource=RAY_CLUSTERS, ref=REF, propagation=Propagation.FOREGROUND)
SCALE = scaled(REPLICA_SETS, REF, 3, {"a": "b"})
STATUS = status_replaced(FLEETS, REF, {"replicas": 1})


class Server:
    """Answers each method from a table and remembers the bodies."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.bodies: list[Any] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.bodies.append(orjson.loads(body) if body else None)
        return self.answers[request.method]()


async def carried_out(server: Server, *actions: Action) -> bool:
    """Carry out; return whether the stores, which have seen nothing yet, hold the next pass back."""
    async with scripted_server(server.answer) as address, KubeClient(address) as client:
        executor = Executor(client, OwnWrites(Reflectors(client, (FLEETS, REPLICA_SETS, RAY_CLUSTERS))))
        await executor.carry_out(KEY, actions)
        return not executor.is_current(KEY)


async def test_every_write_holds_the_next_pass_back_until_it_is_seen() -> None:
    assert await carried_out(Server(PATCH=lambda: json_answer(ray_cluster("a"))), SCALE)


async def test_a_create_of_what_we_have_is_success() -> None:
    server = Server(POST=lambda: status_answer(409, "AlreadyExists"), GET=lambda: json_answer(ray_cluster("a")))
    await carried_out(server, CREATE)


async def test_a_name_that_the_server_chose_and_that_was_taken_is_a_conflict() -> None:
    server = Server(POST=lambda: status_answer(409, "AlreadyExists"))
    nameless = {"metadata": {"generateName": "a-", "namespace": "n"}}
    with pytest.raises(Conflict):
        await carried_out(server, replace(CREATE, manifests=(nameless,)))


async def test_a_create_of_anothers_name_is_a_conflict() -> None:
    server = Server(POST=lambda: status_answer(409, "AlreadyExists"), GET=lambda: json_answer(ray_cluster("a", "b")))
    with pytest.raises(NameTaken):
        await carried_out(server, CREATE)


def with_uid(uid: str, **meta: str) -> web.Response:
    return json_answer({"metadata": {"name": "model", "namespace": "n", "uid": uid, **meta}})


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (404, lambda: status_answer(404)),
        (409, lambda: status_answer(404)),
        (409, lambda: with_uid("successor")),
        (409, lambda: with_uid("u1", deletionTimestamp="2026-01-01T00:00:00Z")),
    ],
)
async def test_a_delete_of_what_is_gone_or_anothers_is_success(code: int, found: Answer) -> None:
    server = Server(DELETE=lambda: status_answer(code), GET=found)
    await carried_out(server, DELETE)
    assert server.bodies[0]["preconditions"] == {"uid": "u1", "resourceVersion": "5"}
    assert server.bodies[0]["propagationPolicy"] == "Foreground"


async def test_a_delete_of_any_version_names_the_uid_alone() -> None:
    server = Server(DELETE=lambda: status_answer(404))
    await carried_out(server, replace(DELETE, ref=replace(REF, resource_version="")))
    assert server.bodies[0]["preconditions"] == {"uid": "u1"}


async def test_a_conflict_of_a_delete_that_leaves_the_object_is_tried_again() -> None:
    server = Server(DELETE=lambda: status_answer(409, "Conflict"), GET=lambda: with_uid("u1"))
    async with scripted_server(server.answer) as address, KubeClient(address) as client:
        executor = Executor(client, OwnWrites(Reflectors(client, (FLEETS, REPLICA_SETS, RAY_CLUSTERS))))
        with pytest.raises(Conflict):
            await executor.carry_out(KEY, [DELETE])
        assert executor.is_current(KEY)  # no deletion is waited for that will not come


async def test_an_update_names_what_it_was_decided_on() -> None:
    server = Server(PATCH=lambda: json_answer(ray_cluster("a")))
    await carried_out(server, SCALE)
    meta = {"annotations": {"a": "b"}, "uid": "u1", "resourceVersion": "5"}
    assert server.bodies == [{"metadata": meta, "spec": {"replicas": 3}}]


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        (SCALE, lambda: status_answer(409, "Conflict")),
        (SCALE, lambda: status_answer(404, "NotFound")),
        (SCALE, lambda: status_answer(422, "Invalid", causes=[{"field": "metadata.uid"}])),
        (STATUS, lambda: status_answer(422, "Invalid")),
    ],
)
async def test_a_stale_view_is_a_conflict_and_no_failure(action: Action, answer: Answer) -> None:
    with pytest.raises(Conflict):
        await carried_out(Server(PATCH=answer), action)


@pytest.mark.parametrize(("action", "method"), [(CREATE, "POST"), (DELETE, "DELETE"), (SCALE, "PATCH")])
async def test_a_refusal_says_which_write_it_was(action: Action, method: str) -> None:
    server = Server(**{method: lambda: status_answer(403, "Forbidden: quota")})
    with pytest.raises(WriteRefused) as refused:
        await carried_out(server, action)
    assert refused.value.failure.action is action
    assert "quota" in refused.value.failure.message


async def test_a_webhook_that_is_away_refuses_and_a_server_that_fails_does_not() -> None:
    away = 'Internal error occurred: failed calling webhook "budgets.example": connection refused'
    with pytest.raises(WriteRefused, match="failed calling webhook"):
        await carried_out(Server(POST=lambda: status_answer(500, away)), CREATE)
    with pytest.raises(ServerError) as failed:
        await carried_out(Server(POST=lambda: status_answer(500, "Internal error occurred: disk")), CREATE)
    assert not isinstance(failed.value, WriteRefused)


async def test_a_namespace_on_its_way_out_is_no_failure() -> None:
    server = Server(POST=lambda: status_answer(403, "Forbidden", causes=[{"reason": "NamespaceTerminating"}]))
    with pytest.raises(Conflict):
        await carried_out(server, CREATE)


async def test_a_kind_that_is_not_there_is_a_refusal_that_says_what_to_install() -> None:
    with pytest.raises(WriteRefused, match="Install KubeRay"):
        await carried_out(Server(POST=lambda: status_answer(404, "NotFound")), CREATE)


async def test_a_namespace_that_is_gone_is_no_failure() -> None:
    with pytest.raises(Conflict):
        await carried_out(Server(POST=lambda: status_answer(404, "NotFound", kind="namespaces")), CREATE)


async def test_a_batch_that_fails_half_way_still_remembers_what_was_written() -> None:
    answers = [json_answer(ray_cluster("a")), status_answer(503)]
    server = Server(POST=lambda: answers.pop(0))
    async with scripted_server(server.answer) as address, KubeClient(address) as client:
        executor = Executor(client, OwnWrites(Reflectors(client, (FLEETS, REPLICA_SETS, RAY_CLUSTERS))))
        with pytest.raises(Exception, match="no: "):
            await executor.carry_out(KEY, [replace(CREATE, manifests=(ray_cluster("a"), ray_cluster("b")))])
        assert not executor.is_current(KEY)


async def test_without_the_lease_nothing_is_written() -> None:
    server = Server()
    async with scripted_server(server.answer) as address, KubeClient(address) as client:
        executor = Executor(client, OwnWrites({}), may_act=lambda: False)
        with pytest.raises(LeadershipLost):
            await executor.carry_out(KEY, [SCALE])
    assert server.bodies == []


async def test_a_server_that_is_gone_is_unreachable() -> None:
    async with scripted_server(Server().answer) as address:
        pass
    async with KubeClient(address) as client:
        with pytest.raises(Unreachable):
            await Executor(client, OwnWrites({})).carry_out(KEY, [SCALE])


async def test_what_went_well_is_told_also_when_the_rest_fails() -> None:
    answers = [json_answer(ray_cluster("a")), status_answer(503)]
    told: list[tuple[str, str]] = []
    batch = replace(CREATE, manifests=(ray_cluster("a"), ray_cluster("b")), event=Event(reason="Made", message="made"))
    async with scripted_server(Server(POST=lambda: answers.pop(0)).answer) as address, KubeClient(address) as client:
        with pytest.raises(ServerError):
            await Executor(client, OwnWrites({})).carry_out(
                KEY, [batch], lambda event, key: told.append((event.reason, key.name))
            )
    assert told == [("Made", "a")]


async def test_writes_that_do_not_depend_on_one_another_are_all_tried() -> None:
    answers = [status_answer(503), json_answer(ray_cluster("a"))]
    server = Server(PATCH=lambda: answers.pop(0))
    async with scripted_server(server.answer) as address, KubeClient(address) as client:
        with pytest.raises(ServerError):
            await Executor(client, OwnWrites({})).carry_out(KEY, [SCALE, SCALE], is_ordered=False)
    assert len(server.bodies) == 2


async def test_a_status_decided_on_a_version_names_it() -> None:
    server = Server(PATCH=lambda: json_answer(ray_cluster("a")))
    await carried_out(server, STATUS)
    assert server.bodies == [
        [
            {"op": "test", "path": "/metadata/uid", "value": "u1"},
            {"op": "test", "path": "/metadata/resourceVersion", "value": "5"},
            {"op": "add", "path": "/status", "value": {"replicas": 1}},
        ]
    ]
