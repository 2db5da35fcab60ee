"""Several kubeconfigs as one (rayfleet.kube.kubeconfig)."""

from pathlib import Path

import pytest
import yaml

from rayfleet.kube.kubeconfig import merged_kubeconfigs, placed_kubeconfig, read_kubeconfigs
from rayfleet.model.errors import SettingsError
from rayfleet.model.json import Json


def document(context: str, server: str) -> Json:
    return {
        "current-context": context,
        "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": "ca.crt"}}],
        "users": [{"name": "u", "user": {"client-key": "/abs/key", "tokenFile": "token"}}],
    }


def test_what_stands_first_wins_and_the_rest_is_added() -> None:
    merged = merged_kubeconfigs([document("", "https://a"), document("two", "https://b")])
    assert merged["current-context"] == "two"
    assert [entry["name"] for entry in merged["contexts"]] == ["", "two"]
    assert [entry["cluster"]["server"] for entry in merged["clusters"]] == ["https://a"]


def test_relative_files_lie_beside_their_own_kubeconfig() -> None:
    placed = placed_kubeconfig(document("one", "https://a"), Path("/etc/k"))
    assert placed["clusters"][0]["cluster"]["certificate-authority"] == "/etc/k/ca.crt"
    assert placed["users"][0]["user"] == {"client-key": "/abs/key", "tokenFile": "/etc/k/token"}


def test_a_file_that_does_not_exist_is_passed_over_but_not_the_only_one(tmp_path: Path) -> None:
    (tmp_path / "there").write_text(yaml.safe_dump(document("one", "https://a")))
    files = [tmp_path / "nofile", tmp_path / "there"]
    assert read_kubeconfigs(files)["current-context"] == "one"
    with pytest.raises(SettingsError, match="nofile"):
        read_kubeconfigs(files[:1])
    with pytest.raises(SettingsError, match="none of the kubeconfigs exists"):
        read_kubeconfigs([tmp_path / "x", tmp_path / "y"])


@pytest.mark.parametrize("content", [None, b"a: [", b"- 1", b"\xff"])
def test_a_file_that_is_none_is_named_with_the_way_out(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match="mine") as caught:
        read_kubeconfigs([path])
    assert "--kubeconfig" in caught.value.way_out
