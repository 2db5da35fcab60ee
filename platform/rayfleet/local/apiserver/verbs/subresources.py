"""Subresources that are no plain part of their object: scale and binding. Edge: requests in, answers out."""

from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import web

from rayfleet.local.apiserver.cluster import Cluster
from rayfleet.local.apiserver.grammar.refusal import (
    Refusal,
    bad_request,
    conflict,
    invalid,
    invalid_object,
    method_not_allowed,
    not_found,
    required,
)
from rayfleet.local.apiserver.grammar.times import timestamp
from rayfleet.local.apiserver.kinds.builtin.pods import node_name_problem
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.wire.answers import json_answer
from rayfleet.local.apiserver.wire.bodies import check_json, decode_object
from rayfleet.local.apiserver.wire.calls import Call, write_options
from rayfleet.local.apiserver.writes.patch_forms import patcher
from rayfleet.model.meta import JsonObject


class Scales:
    """Answers requests for the scale of an object."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def answer(self, call: Call) -> web.Response:
        """Return the scale, after a change of it when one is asked for. Raises Refusal."""
        body = await call.body()
        found = self._cluster.storage.get(call.kind.storage_name, call.key)
        if found is None:
            raise not_found(call.kind.group, call.kind.plural, call.path.name)
        match call.request.method:
            case "GET":
                return json_answer(scale_of(call.kind, found.object))
            case "PUT":
                check_json(call.content_type)
                wanted = decode_object(body, "Scale")
            case "PATCH":
                patched = patcher(call.kind, call.content_type, body)
                wanted = patched(scale_of(call.kind, found.object))
            case _:
                raise method_not_allowed()
        options = write_options(call.query, [])
        try:
            checked = _checked_scale(call, wanted)
        except Refusal as refusal:
            if call.request.method != "PATCH" or refusal.code != 400:
                raise
            cause = invalid("patch", "", refusal.message)  # what cannot be decoded is the patch's fault
            raise invalid_object("", "", "", [cause]) from refusal
        written = self._cluster.writer.patch(
            call.kind, call.key, lambda manifest: _scaled(call.kind, manifest, checked), options
        )
        return json_answer(scale_of(call.kind, written.object))


class Bindings:
    """Answers requests that give a pod its node."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def answer(self, call: Call) -> web.Response:
        """Bind the pod. Raises Refusal: 404, 409, 422."""
        if call.request.method != "POST":
            raise method_not_allowed()
        check_json(call.content_type)
        binding = decode_object(await call.body(), "Binding")
        options = write_options(call.query, [])
        found = self._cluster.storage.get(call.kind.storage_name, call.key)
        if found is None:
            raise not_found("", "pods", call.path.name)
        node = _checked_node(binding, call.path.name)
        _check_bindable(found.object, binding.get("metadata") or {})
        if not options.is_dry_run:
            bound = _bound(found.copy(), binding, node, timestamp(self._cluster.now()))
            self._cluster.writer.mutate(call.kind, found, bound)
        return json_answer(
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, status=201
        )


def scale_of(kind: Kind, manifest: JsonObject) -> JsonObject:
    """Return the autoscaling/v1 Scale of an object. Pure."""
    assert kind.scale is not None, "asked of kinds with a scale only"
    meta = manifest["metadata"]
    shown = {
        key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if key in meta
    }
    status: JsonObject = {"replicas": _at(manifest, kind.scale.status_replicas) or 0}
    if kind.scale.selector is not None and (selector := _at(manifest, kind.scale.selector)):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": shown,
        "spec": {"replicas": _at(manifest, kind.scale.spec_replicas) or 0},
        "status": status,
    }


def _checked_scale(call: Call, wanted: JsonObject) -> JsonObject:
    if wanted.get("kind") not in (None, "", "Scale") or wanted.get("apiVersion") not in (None, "", "autoscaling/v1"):
        raise bad_request("the object is no Scale of autoscaling/v1")
    replicas = (wanted.get("spec") or {}).get("replicas") or 0
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request('Scale in version "v1" cannot be handled as a Scale: spec.replicas is no whole number')
    if replicas < 0:
        cause = invalid("spec.replicas", replicas, "should be a non-negative integer")
        raise invalid_object("autoscaling", "Scale", call.path.name, [cause])
    meta = wanted.get("metadata") or {}
    return {"replicas": replicas, "resourceVersion": meta.get("resourceVersion") or "", "uid": meta.get("uid") or ""}


def _scaled(kind: Kind, manifest: JsonObject, wanted: JsonObject) -> JsonObject:
    assert kind.scale is not None, "asked of kinds with a scale only"
    new: JsonObject = orjson.loads(orjson.dumps(manifest))
    target = new
    *parents, last = kind.scale.spec_replicas
    for part in parents:
        target = target.setdefault(part, {})
    target[last] = wanted["replicas"]
    for key in ("resourceVersion", "uid"):
        if wanted[key]:
            new["metadata"][key] = wanted[key]
    return new


def _checked_node(binding: JsonObject, name: str) -> str:
    if binding.get("kind") not in (None, "", "Binding"):
        raise bad_request(f"{binding['kind']} cannot be handled as a Binding")
    target = binding.get("target") or {}
    node: str = target.get("name") or ""
    causes = []
    if target.get("kind") not in (None, "", "Node"):
        causes.append(invalid("target.kind", target["kind"], 'must be empty or "Node"'))
    if not node:
        causes.append(required("target.name"))
    elif problem := node_name_problem(node):
        causes.append(invalid("target.name", node, problem))
    if causes:
        raise invalid_object("", "Binding", name, causes)
    return node


def _check_bindable(pod: JsonObject, said: JsonObject) -> None:
    meta = pod["metadata"]
    name = meta["name"]
    for key, shown in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if said.get(key) and said[key] != meta[key]:
            why = f"Precondition failed: {shown} in precondition: {said[key]}, {shown} in object meta: {meta[key]}"
            raise conflict("", "pods/binding", name, why)
    if meta.get("deletionTimestamp"):
        raise conflict("", "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if node := pod["spec"].get("nodeName"):
        raise conflict("", "pods/binding", name, f'pod {name} is already assigned to node "{node}"')


def _bound(pod: JsonObject, binding: JsonObject, node: str, now: str) -> JsonObject:
    pod["spec"]["nodeName"] = node
    for field in ("annotations", "labels"):
        if said := (binding.get("metadata") or {}).get(field):
            pod["metadata"].setdefault(field, {}).update(said)
    status = pod.setdefault("status", {})
    others = [each for each in status.get("conditions") or () if each.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    status["conditions"] = [*others, scheduled]
    return pod


def _at(manifest: JsonObject, path: Sequence[str]) -> Any:
    found: Any = manifest
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found
