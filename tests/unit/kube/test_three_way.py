"""What an apply changes (rayfleet.kube.three_way)."""

import json
from typing import Any

import pytest

from rayfleet.kube.three_way import LIST_KEYS, MOST_ANNOTATION_BYTES, last_applied, remembering, three_way_patch
from rayfleet.model.json import Json
from rayfleet.model.resources import CONFIG_MAPS, PODS, SERVICES
from rayfleet.objects.labels import LAST_APPLIED_ANNOTATION


@pytest.mark.parametrize(
    ("last", "now", "live", "patch"),
    [
        pytest.param({"a": 1}, {"a": 1}, {"a": 1, "b": 2}, {}, id="what others set stays"),
        pytest.param({"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": 2}, {"b": None}, id="what left the manifest goes"),
        pytest.param({"a": 1, "b": 2}, {"a": 1}, {"a": 1}, {}, id="what is gone already is no change"),
        pytest.param({}, {"a": 1}, {"a": 1, "b": 2}, {}, id="an object that was never applied only gains"),
        pytest.param({"a": 1}, {"a": 1}, {"a": 3}, {"a": 1}, id="a drift is brought back"),
        pytest.param(
            {"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"b": 1, "c": 2, "d": 3}}, {"a": {"c": None}}, id="deep"
        ),
        pytest.param({"a": {"b": 1}}, {}, {"a": {"b": 1, "d": 3}}, {"a": None}, id="a whole part goes"),
        pytest.param({"a": [1, 2]}, {"a": [1]}, {"a": [1, 2]}, {"a": [1]}, id="a list changes as a whole"),
        pytest.param({"a": 1}, {"a": None}, {"a": 1}, {"a": None}, id="null is as not said"),
        pytest.param({}, {"a": None}, {"a": 1}, {}, id="null of something of others"),
        pytest.param({"a": 1}, {"a": {"b": 1}}, {"a": 1}, {"a": {"b": 1}}, id="a number becomes a mapping"),
        pytest.param({}, {"a": {}}, {"b": 1}, {"a": {}}, id="an empty mapping is a value"),
        pytest.param({"a": "x"}, {"a": ""}, {"a": "x"}, {"a": ""}, id="an empty text is a value"),
    ],
)
def test_a_patch_holds_what_the_manifest_says_and_takes_out_what_it_said(
    last: Json, now: Json, live: Json, patch: Json
) -> None:
    assert three_way_patch(last, now, live, {}) == patch


def ports(*entries: Json) -> Json:
    return {"spec": {"ports": list(entries)}}


def test_ports_of_a_service_are_told_apart_by_number_and_protocol() -> None:
    last = ports({"port": 53, "name": "a"}, {"port": 53, "protocol": "UDP", "name": "b"}, {"port": 80, "name": "c"})
    now = ports({"port": 53, "name": "a2"}, {"port": 53, "protocol": "UDP", "name": "b"})
    live = ports(
        {"port": 53, "protocol": "TCP", "name": "a", "nodePort": 1},
        {"port": 53, "protocol": "UDP", "name": "b", "nodePort": 2},
        {"port": 80, "protocol": "TCP", "name": "c", "nodePort": 3},
        {"port": 99, "protocol": "TCP", "name": "of others"},
    )
    assert three_way_patch(last, now, live, LIST_KEYS[SERVICES]) == ports(
        {"port": 53, "protocol": "TCP", "name": "a2", "nodePort": 1},
        {"port": 53, "protocol": "UDP", "name": "b", "nodePort": 2},
        {"port": 99, "protocol": "TCP", "name": "of others"},
    )
    assert three_way_patch(now, now, {**live, **ports(*live["spec"]["ports"][:2])}, {}) != {}


def test_defaults_in_a_keyed_list_are_no_change() -> None:
    live = ports({"port": 80, "protocol": "TCP", "targetPort": 80})
    assert three_way_patch(ports({"port": 80}), ports({"port": 80}), live, LIST_KEYS[SERVICES]) == {}


def test_an_environment_variable_that_left_a_container_goes() -> None:
    def pod(*env: str, **more: Any) -> Json:
        return {"spec": {"containers": [{"name": "main", "env": [{"name": name} for name in env], **more}]}}

    patch = three_way_patch(pod("A", "B"), pod("A"), pod("A", "B", "INJECTED", image="x"), LIST_KEYS[PODS])
    assert patch == pod("A", "INJECTED", image="x")


def test_the_memory_is_kubectls_own_text() -> None:
    manifest = {"kind": "ConfigMap", "metadata": {"name": "a", "annotations": {"b": "c"}}, "data": {"x": "<&>é\u2028"}}
    text = remembering(manifest)["metadata"]["annotations"][LAST_APPLIED_ANNOTATION]
    assert text == (
        '{"data":{"x":"\\u003c\\u0026\\u003eé\\u2028"},"kind":"ConfigMap",'
        '"metadata":{"annotations":{"b":"c"},"name":"a"}}\n'
    )
    assert json.loads(text) == manifest


def test_the_memory_does_not_remember_itself() -> None:
    once = remembering({"metadata": {"name": "a"}, "data": {}})
    assert remembering(once) == once
    assert last_applied(once) == {"metadata": {"name": "a", "annotations": {}}, "data": {}}


def test_a_manifest_that_is_too_long_is_applied_without_memory() -> None:
    big = {"metadata": {"name": "a"}, "data": {"x": "y" * MOST_ANNOTATION_BYTES}}
    assert LAST_APPLIED_ANNOTATION not in remembering(big)["metadata"]["annotations"]


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_memory_that_cannot_be_read_is_none(text: str) -> None:
    assert last_applied({"metadata": {"annotations": {LAST_APPLIED_ANNOTATION: text}}}) == {}


def test_kinds_without_keyed_lists_have_none() -> None:
    assert CONFIG_MAPS not in LIST_KEYS
