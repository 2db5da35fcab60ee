"""The command ``rayfleet-gateway``: what it says, and what it does with bad arguments."""

import subprocess
import sys
from pathlib import Path

import pytest

from rayfleet.cli.main import main as rayfleet
from rayfleet_gateway.main import main


def test_help_says_what_it_does_and_how_to_try_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    for word in ("--kubeconfig", "/readyz", "/v1/models", "curl", "SIGTERM", "--drain"):
        assert word in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "0"],
        ["--port", "x"],
        ["--drain", "-1"],
        ["--idle-timeout", "nan"],
        ["--prot", "1"],
        ["--gateway", "name"],
        ["--gateway", "a/b/c"],
        ["--cors-origin", "https://chat.example/"],
        ["--config", "x", "--kubeconfig", "y"],
        ["--state-dir", "x", "--config", "y"],
        ["--admin-port", "65535", "--workers", "2"],
        ["--port", "8002", "--workers", "2"],
        ["--body-limit", "1000", "--body-budget", "999"],
        ["--body-limit", "1000", "--body-budget", "1999", "--workers", "2"],
    ],
)
def test_bad_arguments_are_refused_with_the_option_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err.splitlines()[-1]


def test_the_command_line_runs_the_gateway_with_the_arguments_as_they_came(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["--config", "x", "--help"]):
        with pytest.raises(SystemExit) as caught:
            rayfleet(["gateway", *arguments])
        assert (caught.value.code, "--state-dir" in capsys.readouterr().out) == (0, True)


def test_files_that_are_not_there_end_it_at_once_with_the_flag_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rayfleet_gateway", "--config", str(tmp_path / "x"), "--port", "1"]
    ended = subprocess.run(command, timeout=60, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "--config" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers", "2", "--profiles", "NOWHERE/profiles.yaml"], ["--profiles", "No such file"]),
        (
            ["--workers", "2", "--default-profile", "leest-request"],
            ["--default-profile leest-request", "least-request"],
        ),
        (["--default-profile", "leest-request"], ["--default-profile leest-request", "least-request"]),
        (["--host", "192.0.2.1"], ["--host 192.0.2.1", "Name an address of this machine with --host."]),
    ],
)
def test_what_can_never_serve_ends_at_once_with_the_way_out(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    given = [each.replace("NOWHERE", str(tmp_path)) for each in arguments]
    command = [sys.executable, "-m", "rayfleet_gateway", "--config", str(tmp_path), *given]
    ended = subprocess.run(command, timeout=60, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert [word for word in words if word not in ended.stderr] == []
    assert ended.stderr.count("error: ") == 1


def test_help_needs_no_web_server() -> None:
    code = "import sys, rayfleet_gateway.main; sys.exit('aiohttp' in sys.modules or 'kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
