"""What the node refuses, in words that say the way out."""

from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayfleet.local.node.configuring import _check_support, _real_port, check_unmounted
from rayfleet.local.node.environments import CannotConfigure
from rayfleet.local.node.loopback import RAY_COMMAND, PodNetwork, localized_environment, localized_words
from rayfleet.local.node.volumes import NodeVolume, VolumeMount

NETWORK = PodNetwork(address="127.77.0.2", first_port=10100, temp_dir="/r", port_map={6379: 10100, 8080: 10107})


def pod(container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [container], **spec}}


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"lifecycle": {"postStart": {"exec": {"command": ["true"]}}}}, "postStart"),
        ({"readinessProbe": {"grpc": {"port": 1}}}, "readinessProbe: grpc"),
        ({"livenessProbe": {"grpc": {"port": 1}}}, "use exec or tcpSocket"),
    ],
)
def test_what_would_silently_not_happen_is_refused(container: dict[str, Any], words: str) -> None:
    whole = {"name": "c", **container}
    with pytest.raises(CannotConfigure, match=words):
        _check_support(pod(whole), whole)


def test_a_sidecar_among_the_init_containers_is_refused() -> None:
    sidecar = {"name": "s", "restartPolicy": "Always"}
    with pytest.raises(CannotConfigure, match="init container s: sidecars"):
        _check_support(pod({"name": "c"}, initContainers=[sidecar]), sidecar)


def test_a_node_that_cannot_mount_names_the_volume_and_the_way_out() -> None:
    mount = VolumeMount(volume=NodeVolume(name="data"), target="/absent", sub_path="", is_read_only=False)
    with pytest.raises(CannotConfigure, match=r"'data' cannot be mounted at /absent.*root.*hostPath"):
        check_unmounted({"name": "c"}, [mount])
    own = VolumeMount(volume=NodeVolume(name="own", host_path="/srv"), target="/srv", sub_path="", is_read_only=True)
    check_unmounted({"name": "c"}, [own])


@pytest.mark.parametrize(("port", "real"), [(6379, 10100), ("6379", 10100), ("gcs", 10100), (8000, 8000), ("none", 0)])
def test_a_probes_port_is_a_number_or_a_name(port: int | str, real: int) -> None:
    container = {"name": "c", "ports": [{"name": "gcs", "containerPort": 6379}]}
    assert _real_port(container, NETWORK, port) == real


@given(st.lists(st.text(), min_size=1), st.text())
def test_no_text_of_a_manifest_makes_the_rewriting_fail(words: list[str], command: str) -> None:
    localized_words(words, {RAY_COMMAND: command}, NETWORK, lambda _namespace, _name: NETWORK)
    localized_environment({RAY_COMMAND: command, "RAY_ADDRESS": command}, NETWORK, lambda _namespace, _name: NETWORK)


@pytest.mark.parametrize("text", ["ray start " + "--a=b " * 20_000, "ray start " + "'" * 20_001, "a.b.svc." * 20_000])
def test_long_texts_are_rewritten_in_linear_time(text: str) -> None:
    began = process_time()
    localized_words(["bash", "-c", text], {}, NETWORK, lambda _namespace, _name: NETWORK)
    assert process_time() - began < 2
