"""What a container's volumes are on this machine. Rules: Kubernetes 1.36, "Volumes"."""

from typing import Any

import pytest

from rayfleet.local.node.environments import CannotConfigure, ConfigLookup
from rayfleet.local.node.volumes import NodeVolume, VolumeFile, VolumeMount, mounted_volumes

CONFIG = {"data": {"start.sh": "echo started", "b": "2"}, "binaryData": {"raw": "AAE="}}
SECRET = {"type": "Opaque", "data": {"k": "aGlkZGVu"}}
LOOKUP = ConfigLookup({"s": SECRET}.get, {"c": CONFIG}.get)


def mounted(source: dict[str, Any], *mounts: dict[str, Any]) -> tuple[VolumeMount, ...]:
    meta = {"name": "p", "namespace": "n", "labels": {"b": 'say "x"', "a": "1"}}
    container = {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/data", **each} for each in mounts or ({},)]}
    pod = {"metadata": meta, "spec": {"containers": [container], "volumes": [{"name": "v", **source}]}}
    return mounted_volumes(pod, container, LOOKUP, "127.77.0.2")


def files(source: dict[str, Any]) -> dict[str, tuple[str, int]]:
    [mount] = mounted(source)
    assert mount.is_read_only
    assert mount.volume.files is not None
    return {each.path: (each.content.decode("latin-1"), each.mode) for each in mount.volume.files}


def test_an_empty_folder_is_kept_and_written() -> None:
    assert mounted({"emptyDir": {}}) == (
        VolumeMount(volume=NodeVolume(name="v"), target="/data", sub_path="", is_read_only=False),
    )


def test_a_config_map_is_all_of_its_keys() -> None:
    assert files({"configMap": {"name": "c", "defaultMode": 0o755}}) == {
        "start.sh": ("echo started", 0o755),
        "b": ("2", 0o755),
        "raw": ("\x00\x01", 0o755),
    }


def test_items_choose_rename_and_have_a_mode() -> None:
    items = [{"key": "k", "path": "keys/mine", "mode": 0o400}]
    assert files({"secret": {"secretName": "s", "items": items}}) == {"keys/mine": ("hidden", 0o400)}


def test_a_projected_volume_joins_its_sources_and_the_later_one_wins() -> None:
    fields = [
        {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
    ]
    sources = [
        {"configMap": {"name": "c", "items": [{"key": "b", "path": "k"}]}},
        {"secret": {"name": "s"}},
        {"secret": {"name": "absent", "optional": True}},
        {"downwardAPI": {"items": fields}},
    ]
    assert files({"projected": {"sources": sources}}) == {
        "k": ("hidden", 0o644),
        "name": ("p", 0o644),
        "labels": ('a="1"\nb="say \\"x\\""', 0o644),
    }


def test_outer_mounts_come_first() -> None:
    mounts = mounted({"emptyDir": {}}, {"mountPath": "/data/in/it"}, {"mountPath": "/data", "subPath": "a"})
    assert [(each.target, each.sub_path) for each in mounts] == [("/data", "a"), ("/data/in/it", "")]


@pytest.mark.parametrize("path", ["/dev/shm", "/tmp/ray", "/var/run/secrets/kubernetes.io/serviceaccount"])
def test_what_is_the_machines_is_not_mounted(path: str) -> None:
    assert mounted({"emptyDir": {"medium": "Memory"}}, {"mountPath": path}) == ()


def test_a_path_of_the_host_is_at_itself_or_elsewhere() -> None:
    [own] = mounted({"hostPath": {"path": "/data"}})
    [below] = mounted({"hostPath": {"path": "/data"}}, {"subPath": "a"})
    assert (own.is_at_itself, below.is_at_itself) == (True, False)
    [elsewhere] = mounted({"hostPath": {"path": "/srv", "type": "DirectoryOrCreate"}})
    assert elsewhere.volume == NodeVolume(name="v", host_path="/srv", makes_host_path=True)
    assert not elsewhere.is_at_itself


@pytest.mark.parametrize(
    ("source", "mount", "words"),
    [
        ({"configMap": {"name": "absent"}}, {}, "there is no configMap 'absent'"),
        ({"secret": {"secretName": "s", "items": [{"key": "x", "path": "x"}]}}, {}, "secret 's' has no key 'x'"),
        ({"configMap": {"name": "c", "items": [{"key": "b", "path": "../b"}]}}, {}, "not below the volume"),
        ({"persistentVolumeClaim": {"claimName": "x"}}, {}, "persistentVolumeClaim does not work on this machine"),
        ({"hostPath": {"path": "/x", "type": "Socket"}}, {}, "hostPath of type Socket does not work"),
        ({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}, {}, "serviceAccountToken does not"),
        ({"downwardAPI": {"items": [{"path": "m", "resourceFieldRef": {"resource": "x"}}]}}, {}, "only fieldRef"),
        ({"emptyDir": {}}, {"subPathExpr": "$(A)"}, "subPathExpr"),
        ({"emptyDir": {}}, {"subPath": "../../etc"}, "must not contain"),
        ({"emptyDir": {}}, {"subPath": "/etc"}, "subPath is relative"),
        ({"emptyDir": {}}, {"name": "other"}, "there is no volume 'other'"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(source: dict[str, Any], mount: dict[str, Any], words: str) -> None:
    with pytest.raises(CannotConfigure, match=words):
        mounted(source, mount)


def test_an_optional_key_may_be_absent() -> None:
    items = [{"key": "x", "path": "x"}, {"key": "b", "path": "b"}]
    [mount] = mounted({"configMap": {"name": "c", "optional": True, "items": items}})
    assert mount.volume.files == (VolumeFile(path="b", content=b"2", mode=0o644),)
