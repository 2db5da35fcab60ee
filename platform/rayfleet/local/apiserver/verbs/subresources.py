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
from rayfleet.local.apiserver.kinds.builtin.pods import node_name_problem
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.wire.answers import json_answer
from rayfleet.local.apiserver.wire.bodies import decode_body
from rayfleet.local.apiserver.wire.calls import Call
from rayfleet.local.apiserver.writes.patch_forms import patcher
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.conditions import conditions_of
from rayfleet.objects.meta import is_terminating
from rayfleet.objects.pods import node_name
from rayfleet.objects.times import encode_time


class Scales:
    """Answers requests for the scale of an object."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def answer(self, call: Call) -> web.Response:
        """Return the scale, after a change of it when one is asked for. Raises Refusal."""
        body = await call.body()
        stored = self._cluster.storage.get(call.kind.storage_name, call.key)
        if stored is None:
            raise not_found(call.kind.group, call.kind.plural, call.path.name)
        match call.request.method:
            case "GET":
                return json_answer(scale_of(call.kind, stored.object))
            case "PUT":
                scale = decode_body(call.content_type, body, "Scale").object
            case "PATCH":
                patched = patcher(call.kind, call.content_type, body)
                scale = patched(scale_of(call.kind, stored.object))
            case _:
                raise method_not_allowed()
        options = call.write_options([])
        try:
            checked = _checked_scale(call, scale)
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
        binding = decode_body(call.content_type, await call.body(), "Binding").object
        options = call.write_options([])
        stored = self._cluster.storage.get(call.kind.storage_name, call.key)
        if stored is None:
            raise not_found("", "pods", call.path.name)
        node = _checked_node(binding, call.path.name)
        _check_bindable(stored.object, binding.get("metadata") or {})
        if not options.is_dry_run:
            bound = _bound(stored.copy(), binding, node, encode_time(self._cluster.now()))
            self._cluster.writer.mutate(call.kind, stored, bound)
        return json_answer(
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, status=201
        )


def scale_of(kind: Kind, manifest: ReadOnlyJson) -> Json:
    """Return the autoscaling/v1 Scale of an object. Pure."""
    assert kind.scale is not None, "asked of kinds with a scale only"
    meta = manifest["metadata"]
    shown = {
        key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if key in meta
    }
    status: Json = {"replicas": _at(manifest, kind.scale.status_replicas) or 0}
    if kind.scale.selector is not None and (selector := _at(manifest, kind.scale.selector)):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": shown,
        "spec": {"replicas": _at(manifest, kind.scale.spec_replicas) or 0},
        "status": status,
    }


def _checked_scale(call: Call, scale: ReadOnlyJson) -> Json:
    if scale.get("kind") not in (None, "", "Scale") or scale.get("apiVersion") not in (None, "", "autoscaling/v1"):
        raise bad_request("the object is no Scale of autoscaling/v1")
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request('Scale in version "v1" cannot be handled as a Scale: spec.replicas is no whole number')
    if replicas < 0:
        cause = invalid("spec.replicas", replicas, "should be a non-negative integer")
        raise invalid_object("autoscaling", "Scale", call.path.name, [cause])
    meta = scale.get("metadata") or {}
    return {"replicas": replicas, "resourceVersion": meta.get("resourceVersion") or "", "uid": meta.get("uid") or ""}


def _scaled(kind: Kind, manifest: ReadOnlyJson, scale: ReadOnlyJson) -> Json:
    assert kind.scale is not None, "asked of kinds with a scale only"
    new: Json = orjson.loads(orjson.dumps(manifest))
    target = new
    *parents, last = kind.scale.spec_replicas
    for part in parents:
        target = target.setdefault(part, {})
    target[last] = scale["replicas"]
    for key in ("resourceVersion", "uid"):
        if scale[key]:
            new["metadata"][key] = scale[key]
    return new


def _checked_node(binding: ReadOnlyJson, name: str) -> str:
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


def _check_bindable(pod: ReadOnlyJson, stated: ReadOnlyJson) -> None:
    meta = pod["metadata"]
    name = meta["name"]
    for key, shown in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if stated.get(key) and stated[key] != meta[key]:
            why = f"Precondition failed: {shown} in precondition: {stated[key]}, {shown} in object meta: {meta[key]}"
            raise conflict("", "pods/binding", name, why)
    if is_terminating(pod):
        raise conflict("", "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if node := node_name(pod):
        raise conflict("", "pods/binding", name, f'pod {name} is already assigned to node "{node}"')


def _bound(pod: Json, binding: ReadOnlyJson, node: str, now: str) -> Json:
    pod["spec"]["nodeName"] = node
    for field in ("annotations", "labels"):
        if additions := (binding.get("metadata") or {}).get(field):
            pod["metadata"].setdefault(field, {}).update(additions)
    status = pod.setdefault("status", {})
    others = [each for each in conditions_of(pod) if each.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    status["conditions"] = [*others, scheduled]
    return pod


def _at(manifest: ReadOnlyJson, path: Sequence[str]) -> Any:
    value: Any = manifest
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value
