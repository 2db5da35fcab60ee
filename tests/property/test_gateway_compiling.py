"""Whatever happens in whatever order, the table is that of the objects as they are; a bad object changes no other.

(rayfleet_gateway.route.compiling)
"""

import copy
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import (
    ENDPOINT_SLICES,
    GATEWAYS,
    HTTP_ROUTES,
    SERVICES,
    ResourceType,
)
from rayfleet.objects.meta import key_of
from rayfleet_gateway.route.compiling import KINDS, RouteCompiler
from rayfleet_gateway.route.gateways import Attachment
from rayfleet_gateway.route.table import RouteTable, Rule

Objects = dict[tuple[ResourceType, ObjectKey], Json]


def _route(name: str, namespace: str, rng: random.Random) -> Json:
    def backend() -> Json:
        named = {"namespace": rng.choice("no")} if rng.random() < 0.4 else {}
        return {"name": rng.choice("st"), "port": rng.choice([80, 81]), "weight": rng.randrange(3), **named}

    match: Json = {"path": {"type": "PathPrefix", "value": rng.choice(["/v1", "/v1/x", "/docs"])}}
    if rng.random() < 0.8:
        match["headers"] = [{"name": "model", "value": rng.choice("abc")}]
    spec: Json = {"rules": [{"matches": [match], "backendRefs": [backend() for _ in range(rng.randrange(3))]}]}
    if rng.random() < 0.3:
        spec["rules"].append({"filters": [{"type": "RequestMirror"}]})
    if rng.random() < 0.5:
        spec["parentRefs"] = [{"name": rng.choice(["ours", "others"]), "namespace": "n"}]
    if rng.random() < 0.3:
        spec["hostnames"] = [rng.choice(["a.example.org", "*.example.org"])]
    return {"metadata": _meta(name, namespace), "spec": spec}


def _meta(name: str, namespace: str, **labels: str) -> Json:
    return {"name": name, "namespace": namespace, "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"}


def _object(resource: ResourceType, name: str, namespace: str, rng: random.Random) -> Json:
    match resource.kind:
        case HTTP_ROUTES.kind:
            return _route(name, namespace, rng)
        case GATEWAYS.kind:
            listener: Json = {"name": "http", "port": 80, "protocol": "HTTP"}
            listener["allowedRoutes"] = {"namespaces": {"from": rng.choice(["All", "Same", "Selector"])}}
            spec = {"gatewayClassName": rng.choice(["rayfleet", "other"]), "listeners": [listener]}
            return {"metadata": _meta(name, namespace), "spec": spec}
        case SERVICES.kind:
            return {"metadata": _meta(name, namespace), "spec": {"ports": [{"name": "p", "port": 80}]}}
        case ENDPOINT_SLICES.kind:
            endpoints = [{"addresses": [f"10.0.0.{rng.randrange(9)}"]} for _ in range(rng.randrange(3))]
            labels = {"kubernetes.io/service-name": rng.choice("st")}
            return {
                "metadata": _meta(name, namespace, **labels),
                "ports": [{"name": "p", "port": 8000}],
                "endpoints": endpoints,
            }
    source = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": rng.choice("no")}
    return {"metadata": _meta(name, namespace), "spec": {"from": [source], "to": [{"group": "", "kind": "Service"}]}}


def _names(resource: ResourceType) -> tuple[str, ...]:
    if resource is GATEWAYS:
        return ("ours", "others")
    return ("s", "t") if resource is SERVICES else ("a", "b", "c")


def _made_anew(objects: Objects) -> RouteCompiler:
    compiler = RouteCompiler()
    for (resource, key), raw in sorted(objects.items(), key=lambda item: (item[0][0].kind, str(item[0][1]))):
        compiler.put(resource, key, raw)
    _work_all(compiler)
    return compiler


def _work_all(compiler: RouteCompiler) -> None:
    compiler.work()
    compiler.miss(compiler.take_awaited())
    compiler.work()


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 60))
def test_a_table_made_step_by_step_is_the_one_made_at_once(seed: int, steps: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - no secret
    objects: Objects = {}
    compiler = RouteCompiler()
    given_out: list[tuple[RouteTable, str]] = []
    for _ in range(steps):
        resource = rng.choice(KINDS)
        name, namespace = rng.choice(_names(resource)), "n" if resource is GATEWAYS else rng.choice("no")
        key = ObjectKey(namespace=namespace, name=name)
        raw = _object(resource, name, namespace, rng) if rng.random() < 0.75 else None
        if raw is None:
            objects.pop((resource, key), None)
        else:
            objects[resource, key] = raw
        compiler.put(resource, key, raw)
        if rng.random() < 0.5:
            compiler.work(lambda: True)  # one route at a time
            given_out.append((compiler.table(), repr(compiler.table())))
    _work_all(compiler)
    anew = _made_anew(objects)
    assert compiler.table() == anew.table()
    assert set(compiler.problems()) == set(anew.problems())
    assert _attachments(compiler) == _attachments(anew)
    assert all(repr(table) == text for table, text in given_out), "a table that was given out has changed"


def _attachments(compiler: RouteCompiler) -> dict[ObjectKey, Attachment]:
    return {key: route.attachment for key, route in compiler.routes.items()}


_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["*", "/"]),
)
_GARBAGE = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to every part of a value but the whole."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for name, part in entries for place in ((*path, name), *_places(part, (*path, name)))]


_KEPT = {("metadata",), ("metadata", "name"), ("metadata", "namespace")}


@st.composite
def _spoilt(draw: st.DrawFn) -> tuple[ResourceType, Json]:
    """Return an object with up to three of its parts (never its name) replaced by anything."""
    resource = draw(st.sampled_from(KINDS))
    rng = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311 - no secret
    raw = copy.deepcopy(_object(resource, "spoilt", "bad", rng))
    for _ in range(draw(st.integers(1, 3))):
        places = [place for place in _places(raw) if place not in _KEPT]
        *above, last = draw(st.sampled_from(places))
        part: Any = raw
        for name in above:
            part = part[name]
        part[last] = draw(_GARBAGE)
    return resource, raw


def _rules_of(table: RouteTable, namespace: str) -> list[Rule]:
    rules = (*table.for_any, *(rule for rules in table.by_model.values() for rule in rules))
    return sorted((rule for rule in rules if rule.route.startswith(f"{namespace}/")), key=lambda rule: rule.rank)


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32), spoilt=st.lists(_spoilt(), max_size=4))
def test_an_object_that_cannot_be_read_changes_nothing_of_the_others(
    seed: int, spoilt: list[tuple[ResourceType, Json]]
) -> None:
    rng = random.Random(seed)  # noqa: S311 - no secret
    objects: Objects = {
        (resource, ObjectKey(namespace="n", name=name)): _object(resource, name, "n", rng)
        for resource in KINDS
        for name in _names(resource)
    }
    alone = _made_anew(objects)
    beside = _made_anew(objects | {(resource, key_of(raw)): raw for resource, raw in spoilt})
    assert _rules_of(beside.table(), "n") == _rules_of(alone.table(), "n")
    assert {each for each in beside.problems() if each.namespace == "n"} == set(alone.problems())
