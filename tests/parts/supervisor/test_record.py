"""What a supervisor writes down (rayfleet.local.supervisor)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rayfleet.local.folders import cluster_folders
from rayfleet.local.proc import ProcessIdentity, identity_of, signal_process, start_ticks
from rayfleet.local.supervisor.child import RESTART_BACKOFF
from rayfleet.local.supervisor.commands import child_specs
from rayfleet.local.supervisor.record import ProcessRecord, Record, read_record, write_record
from rayfleet.local.supervisor.settings import SupervisorSettings, read_settings, write_settings
from rayfleet.model.errors import SettingsError


def _record() -> Record:
    return Record(
        supervisor=identity_of(os.getpid()),
        api_port=1,
        gateway_host="127.0.0.1",
        gateway_port=2,
        gateway_admin_port=3,
        processes={
            "node": ProcessRecord(identity=ProcessIdentity(pid=3, start_ticks=4), restarts=5, last_exit="signal 9")
        },
    )


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_record(tmp_path / "record.json", _record())
    assert read_record(tmp_path / "record.json") == _record()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"supervisor": {"pid": 1}}'])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    assert read_record(tmp_path / "record.json") is None


def test_this_process_is_alive_and_a_later_one_with_its_pid_is_not_it() -> None:
    me = identity_of(os.getpid())
    assert me.is_alive()
    assert not ProcessIdentity(pid=me.pid, start_ticks=me.start_ticks + 1).is_alive()


def test_a_process_that_ended_gets_no_signal() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    identity = identity_of(ended.pid)
    ended.wait(timeout=60)
    assert start_ticks(ended.pid) is None
    assert not signal_process(identity, 0)


def test_settings_travel_unchanged(tmp_path: Path) -> None:
    settings = SupervisorSettings(root=tmp_path, name="a", gateway_port=1, accelerators={"nvidia.com/gpu": 4})
    write_settings(tmp_path / "settings.json", settings)
    assert read_settings(tmp_path / "settings.json") == settings


@pytest.mark.parametrize(("deaths", "seconds"), [(1, 0.2), (2, 0.4), (3, 0.8), (20, 10.0)])
def test_a_process_that_keeps_dying_is_started_ever_more_seldom(deaths: int, seconds: float) -> None:
    assert RESTART_BACKOFF.delay(deaths).total_seconds() == pytest.approx(seconds)


def test_every_process_listens_on_loopback_and_logs_to_its_own_file(tmp_path: Path) -> None:
    settings = SupervisorSettings(
        root=tmp_path,
        name="a",
        api_port=1,
        gateway_port=2,
        gateway_admin_port=4,
        accelerators={"x.com/y": 3},
    )
    specs = child_specs(settings, cluster_folders(tmp_path, "a"))
    assert "--host 127.0.0.1 --port 2 --admin-port 4" in " ".join(specs.gateway.command)
    assert f"--state-dir {tmp_path}" in " ".join(specs.gateway.command)
    assert "x.com/y=3" in specs.node.command
    logs = {spec.log_path.name for spec in (specs.api_server, specs.node, specs.controllers, specs.gateway)}
    assert logs == {"apiserver.log", "node.log", "controllers.log", "gateway.log"}


@pytest.mark.parametrize("name", ["", "UPPER", "a/b", "..", "-a", "a" * 40])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="--name"):
        cluster_folders(tmp_path, name)
