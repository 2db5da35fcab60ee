"""The sidecar that a head lacks comes with a new replica set, and with nothing else (rayfleet.planning.overlay)."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest

from rayfleet.manifest.fleet import decode_fleet
from rayfleet.model.json import Json
from rayfleet.objects.labels import OVERLAY_ANNOTATION, SIDECAR_ANNOTATION, TEMPLATE_HASH_ANNOTATION
from rayfleet.planning.overlay import Overlay, sidecar_overlay, with_overlay
from rayfleet.planning.replica_set.drain import sidecar_port
from rayfleet.plugin.registry import load
from rayfleet.testing.good_fleet import good_fleet, put
from rayfleet.testing.planner_world import PlannerWorld

READERS = tuple(load().command_readers.values())
HEAD = "spec.template.spec.headGroupSpec"
CONTAINERS = f"{HEAD}.template.spec.containers"
OPTED_OUT = {SIDECAR_ANNOTATION: "none"}


def by_hand(command: str = "vllm serve org/model", **fields: Any) -> Json:
    """Return a fleet whose head runs a command and has no sidecar; ``fields`` as in ``good_fleet``, ``__`` for dots."""
    raw = good_fleet({})
    del raw["spec"]["template"]["spec"]["headGroupSpec"]["template"]["spec"]["containers"][1]
    script = f'eval "$KUBERAY_GEN_RAY_START_CMD" &\nexec {command}'
    put(raw, f"{CONTAINERS}.0.command", ["/bin/bash", "-c", script])
    raw["metadata"] |= {"namespace": "default"}
    for path, value in fields.items():
        put(raw, path.replace("__", "."), value)
    return raw


def overlay(raw: Json) -> Overlay:
    return sidecar_overlay(decode_fleet(raw), READERS)


def beside(name: str, **fields: Any) -> Mapping[str, Any]:
    return {CONTAINERS.replace(".", "__") + "__1": {"name": name, "image": "busybox", **fields}}


KNOWN = {
    "vllm": ("vllm serve org/model --port 9000", 9000, "/health", "/metrics"),
    "vllm as a module": ("python3 -m vllm.entrypoints.openai.api_server --model m", 8000, "/health", "/metrics"),
    "sglang": ("python3 -m sglang.launch_server --model-path m", 30000, "/ready", "/metrics"),
    "vllm at a port of its environment": ("vllm serve m --port $PORT", 9100, "/health", "/metrics"),
    "trtllm": ("trtllm-serve org/model", 8000, "/health", "/prometheus/metrics"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_an_engine_that_a_plugin_knows_gets_a_sidecar_that_asks_it_rightly(name: str) -> None:
    command, port, health, metrics = KNOWN[name]
    environment = {f"{CONTAINERS}.0.env".replace(".", "__"): [{"name": "PORT", "value": "9100"}]}
    container = overlay(by_hand(command, **environment)).container
    assert container is not None
    flags = [word.partition("=")[::2] for word in container["args"]]
    told = dict(flags)
    assert (told["--engine"], told["--engine-url"]) == (name.split(maxsplit=1)[0], f"http://$(POD_IP):{port}")
    assert (told["--health-path"], told["--metrics-path"]) == (health, metrics)
    assert "--expected-ray-nodes" not in told  # nothing in such a pod shows Ray's view
    assert (told["--port"], container["readinessProbe"]["httpGet"]["port"]) == ("8082", 8082)


WITHOUT: dict[str, tuple[Json, str]] = {
    "an engine that nobody knows": (by_hand("/opt/serve --port 8000"), "no plugin knows the engine"),
    "two engines": (by_hand("vllm serve a --port 1 & vllm serve b --port 2"), "which of them"),
    "a key in the command": (by_hand("vllm serve a --api-key secret"), "cannot be asked for a token"),
    "TLS": (by_hand("vllm serve a --ssl_keyfile=k"), "cannot be asked for a token"),
    "embeddings": (by_hand("vllm serve a --runner pooling"), "cannot be asked for a token"),
    "embeddings of SGLang": (by_hand("sglang serve --is-embedding"), "cannot be asked for a token"),
    "a sidecar of ours": (by_hand(**beside("x", command=["rayfleet-sidecar"])), "has one"),
    "a sidecar of ours by its image": (by_hand(**beside("x", image="mirror/rayfleet/sidecar:1")), "has one"),
    "aibrix_runtime": (by_hand(**beside("x", command=["aibrix_runtime", "--port", "8080"])), "has one"),
    "aibrix_runtime that starts first": (
        by_hand(
            spec__template__spec__headGroupSpec__template__spec__initContainers=[
                {"name": "r", "image": "aibrix/runtime:v0.5.0", "restartPolicy": "Always"}
            ]
        ),
        "has one",
    ),
    "a fleet that wants none": (by_hand(metadata__annotations=OPTED_OUT), "says none"),
    "its port with a container": (by_hand(**beside("x", ports=[{"containerPort": 8082}])), "port 8082 is taken"),
    "its port with Ray": (
        by_hand(spec__template__spec__headGroupSpec__rayStartParams={"metrics-export-port": "8082"}),
        "port 8082 is taken",
    ),
    "its port with the engine": (by_hand("vllm serve a --port 8082"), "port 8082 is taken"),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_none_comes_where_it_is_not_wanted_or_could_not_know(name: str) -> None:
    raw, words = WITHOUT[name]
    assert (overlay(raw).container, overlay(raw).note) == (None, "")
    assert words in overlay(raw).reason


def test_a_download_that_ends_before_the_engine_starts_is_no_sidecar() -> None:
    """AIBrix's own manifests bring the weights with the image of its runtime."""
    download = {"name": "init-model", "image": "aibrix/runtime:v0.3.0", "command": ["aibrix_download"]}
    raw = by_hand()
    put(raw, f"{HEAD}.template.spec.initContainers", [download])
    assert overlay(raw).container is not None


def test_a_key_in_the_engines_environment_is_the_sidecars_too() -> None:
    key = {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    raw = by_hand()
    put(raw, f"{CONTAINERS}.0.env", [{"name": "OTHER", "value": "1"}, key])
    container = overlay(raw).container
    assert container is not None
    assert [each["name"] for each in container["env"]] == [
        "POD_IP",
        "RAYFLEET_SIDECAR_TOKEN",
        "INFERENCE_ENGINE_API_KEY",
    ]
    assert container["env"][-1]["valueFrom"] == key["valueFrom"]


def containers_of(world: PlannerWorld) -> dict[str, list[str]]:
    """Return the names of the head's containers, by the RayCluster."""
    return {
        name: [each["name"] for each in raw["spec"]["headGroupSpec"]["template"]["spec"]["containers"]]
        for name, raw in world.objects.get("RayCluster", {}).items()
    }


def settled(world: PlannerWorld) -> PlannerWorld:
    """Make passes for the fleet and each replica set, some rounds long."""
    for _ in range(3):
        world.fleet_pass()
        for name in list(world.objects["RayClusterReplicaSet"]):
            world.replica_set_pass(name)
    return world


def applied(raw: Json, readers: Any = READERS) -> PlannerWorld:
    world = PlannerWorld(readers)
    world.apply_fleet(raw)
    return settled(world)


def test_each_ray_cluster_gets_it_and_the_template_stays_as_it_was_written() -> None:
    world = applied(by_hand(spec__replicas=2))
    assert list(containers_of(world).values()) == [["ray-head", "rayfleet-sidecar"]] * 2
    (replica_set,) = world.objects["RayClusterReplicaSet"].values()
    assert len(replica_set["spec"]["template"]["spec"]["headGroupSpec"]["template"]["spec"]["containers"]) == 1
    (identity,) = (
        raw["metadata"]["annotations"][TEMPLATE_HASH_ANNOTATION]
        for raw in applied(by_hand(spec__replicas=2), ()).objects["RayClusterReplicaSet"].values()
    )
    assert replica_set["metadata"]["annotations"][TEMPLATE_HASH_ANNOTATION] == identity


def test_a_replica_set_that_is_there_stays_as_it_was_made_and_the_next_gets_it() -> None:
    """A controller that learns of overlays rolls nothing, and a replica set's heads are all alike."""
    world = applied(by_hand(spec__replicas=1), ())
    before = copy.deepcopy(world.objects["RayClusterReplicaSet"])
    newer = PlannerWorld(READERS)
    newer.stored = world.stored
    settled(newer)
    assert world.objects["RayClusterReplicaSet"].keys() == before.keys()
    newer.change_spec({"replicas": 2})
    settled(newer)
    assert list(containers_of(newer).values()) == [["ray-head"]] * 2
    template = copy.deepcopy(newer.fleet["spec"]["template"])
    template["spec"]["rayVersion"] = "2.60.1"
    newer.change_spec({"template": template})
    settled(newer)
    assert ["ray-head", "rayfleet-sidecar"] in containers_of(newer).values()


def test_a_fleet_that_wants_none_any_more_keeps_what_runs() -> None:
    world = applied(by_hand())
    world.stored.put({**world.fleet, "metadata": {**world.fleet["metadata"], "annotations": OPTED_OUT}})
    settled(world)
    assert len(world.objects["RayClusterReplicaSet"]) == 1
    assert list(containers_of(world).values()) == [["ray-head", "rayfleet-sidecar"]]


def test_a_fleets_own_annotation_is_no_overlay() -> None:
    """What heads get is the controller's to say."""
    forged = {OVERLAY_ANNOTATION: json.dumps({"name": "x", "image": "evil"}), **OPTED_OUT}
    assert list(containers_of(applied(by_hand(metadata__annotations=forged))).values()) == [["ray-head"]]


@pytest.mark.parametrize("note", ["", "{", "[]", "7", "null", "{}", '{"name": "ray-head"}'])
def test_a_note_that_says_nothing_adds_nothing(note: str) -> None:
    spec = by_hand()["spec"]["template"]["spec"]
    assert with_overlay(spec, note) == spec


def test_the_sidecar_is_asked_where_it_listens() -> None:
    spec = with_overlay(by_hand()["spec"]["template"]["spec"], overlay(by_hand()).note)
    assert sidecar_port({"spec": spec["headGroupSpec"]["template"]["spec"]}) == 8082
