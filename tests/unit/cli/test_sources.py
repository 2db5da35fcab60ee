"""Which API server and which namespace a command means (rayfleet.cli.sources, settings, target)."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rayfleet.cli.main import rayfleet_group
from rayfleet.cli.settings import CliSettings, read_cli_settings
from rayfleet.cli.sources import local_folders, source_of
from rayfleet.cli.target import Session
from rayfleet.kube.address import KubeAddress
from rayfleet.kube.client import KubeClient
from rayfleet.local.folders import cluster_folders
from rayfleet.local.proc import ProcessIdentity
from rayfleet.local.supervisor.record import Record, write_record
from rayfleet.model.errors import SettingsError, WrongUse
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import NODES, PODS


@pytest.fixture
def settings(tmp_path: Path) -> CliSettings:
    return CliSettings(state_home=tmp_path / "state", home_kubeconfig=tmp_path / "home" / "config")


def with_cluster(settings: CliSettings, name: str, *, is_running: bool = True) -> Path:
    folders = cluster_folders(settings.state_home, name)
    folders.root.mkdir(parents=True)
    folders.kubeconfig.write_text("{}")
    if is_running:
        identity = ProcessIdentity(pid=1, start_ticks=1)
        write_record(
            folders.record,
            Record(supervisor=identity, api_port=1, gateway_host="127.0.0.1", gateway_port=2, gateway_admin_port=3),
        )
    return folders.kubeconfig


def with_environment(settings: CliSettings, *files: Path, **more: Any) -> CliSettings:
    return CliSettings(
        state_home=settings.state_home, home_kubeconfig=settings.home_kubeconfig, kubeconfig=files, **more
    )


def test_a_named_cluster_beats_the_environment(settings: CliSettings) -> None:
    file = with_cluster(settings, "mine")
    source = source_of(with_environment(settings, Path("/etc/prod")), kubeconfig=None, name="mine")
    assert source.files == (file,)


def test_a_named_cluster_that_is_not_there_is_an_error_and_not_the_environment(settings: CliSettings) -> None:
    with pytest.raises(SettingsError, match="cluster 'nosuch' does not exist on this machine"):
        source_of(with_environment(settings, Path("/etc/prod")), kubeconfig=None, name="nosuch")


def test_a_named_file_beats_the_environment(settings: CliSettings) -> None:
    source = source_of(with_environment(settings, Path("/etc/prod")), kubeconfig=Path("mine"), name=None)
    assert source.files == (Path("mine"),)


def test_the_environment_beats_the_cluster_of_this_machine(settings: CliSettings) -> None:
    with_cluster(settings, "default")
    files = (Path("/etc/a"), Path("/etc/b"))
    assert source_of(with_environment(settings, *files), kubeconfig=None, name=None).files == files


def test_a_cluster_that_stopped_is_an_error_and_not_the_next_one(settings: CliSettings) -> None:
    with_cluster(settings, "default", is_running=False)
    settings.home_kubeconfig.parent.mkdir()
    settings.home_kubeconfig.write_text("{}")
    with pytest.raises(SettingsError, match="does not run"):
        source_of(settings, kubeconfig=None, name=None)


def test_without_a_cluster_here_kubectls_own_file_counts_and_then_the_pod(settings: CliSettings) -> None:
    assert source_of(with_environment(settings, is_in_pod=True), kubeconfig=None, name=None).files is None
    settings.home_kubeconfig.parent.mkdir()
    settings.home_kubeconfig.write_text("{}")
    assert source_of(settings, kubeconfig=None, name=None).files == (settings.home_kubeconfig,)
    assert local_folders(settings, kubeconfig=None, name=None) is None


def test_nothing_at_all_is_an_error_with_the_way_out(settings: CliSettings) -> None:
    with pytest.raises(SettingsError) as error:
        source_of(settings, kubeconfig=None, name=None)
    assert "rayfleet up" in error.value.way_out


def test_a_cluster_of_this_machine_is_known_by_its_file(settings: CliSettings) -> None:
    file = with_cluster(settings, "mine")
    folders = local_folders(with_environment(settings, file), kubeconfig=None, name=None)
    assert folders == cluster_folders(settings.state_home, "mine")
    assert local_folders(with_environment(settings, Path("/etc/prod")), kubeconfig=None, name=None) is None


@pytest.mark.parametrize(("text", "files"), [("", ()), ("/a", (Path("/a"),)), ("/a::/b:", (Path("/a"), Path("/b")))])
def test_the_environment_may_name_several_files(text: str, files: tuple[Path, ...]) -> None:
    assert read_cli_settings({"KUBECONFIG": text, "HOME": "/h"}).kubeconfig == files


def test_kubectls_own_file_is_in_the_home() -> None:
    assert read_cli_settings({"HOME": "/h"}).home_kubeconfig == Path("/h/.kube/config")


def test_a_name_among_all_namespaces_is_refused_but_for_what_has_none() -> None:
    client = KubeClient(KubeAddress(url="http://127.0.0.1:1"))
    everywhere = Session(client=client, namespace="here", is_everywhere=True)
    with pytest.raises(WrongUse, match="-A"):
        everywhere.key(PODS, "a")
    assert everywhere.key(NODES, "a") == ObjectKey(namespace="", name="a")
    assert Session(client=client, namespace="here").key(PODS, "a") == ObjectKey(namespace="here", name="a")


@pytest.mark.parametrize("command", ["apply", "get", "delete", "scale", "describe", "logs", "status", "endpoint"])
def test_a_flag_beats_the_environment_in_every_command(command: str, tmp_path: Path) -> None:
    arguments = {
        "apply": ["-f", "-"],
        "get": ["rcf"],
        "scale": ["rcf/a", "--replicas", "0"],
        "delete": ["rcf/a"],
        "describe": ["rcf/a"],
        "logs": ["rcf/a"],
    }
    manifest = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
    shown = CliRunner().invoke(
        rayfleet_group,
        [command, *arguments.get(command, []), "--name", "nosuch"],
        input=manifest,
        env={"KUBECONFIG": str(tmp_path / "prod"), "XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert shown.exit_code == 1, shown.output
    assert "nosuch" in shown.output
    assert "prod" not in shown.output


def test_two_flags_that_name_a_server_exclude_each_other() -> None:
    shown = CliRunner().invoke(rayfleet_group, ["get", "rcf", "--name", "a", "--kubeconfig", "b"])
    assert shown.exit_code == 2
    assert "--name and --kubeconfig" in shown.output
