"""What is kept when an engine is lost (rayfleet_sidecar.evidence), by a sidecar beside an engine by script."""

import json
import os
import stat
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_aiohttp import AiohttpClient
from tests.parts.sidecar.scripted import Reply, ScriptedEngine, error, nodes, scripted_engine

from rayfleet.testing.waiting import LIMIT_SECONDS, until
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.evidence import last_lines, write_evidence
from rayfleet_sidecar.observation import ReadinessRules
from rayfleet_sidecar.settings import EvidenceSettings, SidecarSettings
from rayfleet_sidecar.testing import HandClock

STATUS = {
    "reason": "EngineStalled",
    "message": "no step",
    "checks": [{"name": "Progress", "passed": False, "message": "x"}],
}


@pytest.fixture
async def engine() -> AsyncIterator[ScriptedEngine]:
    async with scripted_engine() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path) -> EvidenceSettings:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "worker-1.log").write_text("".join(f"line {number}\n" for number in range(100)), encoding="utf-8")
    (tmp_path / "message").touch()
    return EvidenceSettings(
        folder=str(tmp_path / "kept"), termination_log=str(tmp_path / "message"), logs=str(logs), most_files=3
    )


async def kept(engine: ScriptedEngine, settings: EvidenceSettings, aiohttp_client: AiohttpClient, reason: str) -> Any:
    """Lose a node of a ready engine, or have it break from the start; return the evidence for the reason."""
    sidecar = SidecarSettings(
        engine_url=engine.url,
        model="m",
        nodes_url=f"{engine.url}/nodes",
        rules=ReadinessRules(expected_nodes=2),
        judge_period=timedelta(milliseconds=5),
        answer_limit=timedelta(seconds=LIMIT_SECONDS),
        evidence=settings,
    )
    client = await aiohttp_client(make_app(sidecar, HandClock()))
    if reason != "GenerationFailed":

        async def is_ready() -> bool:
            return (await client.get("/ready")).status == 200

        await until(is_ready, "ready")
        engine.replies["/nodes"] = nodes("a", dead=("b",))
    message = Path(settings.termination_log)  # it is written last
    await until(message.read_text, "the message", holds=lambda text: "evidence: " in text)
    file = next(Path(settings.folder).glob(f"*-{reason}.json"))
    return json.loads(file.read_text(encoding="utf-8"))


async def test_a_loss_leaves_what_was_known_in_a_file_and_in_the_termination_message(
    engine: ScriptedEngine, settings: EvidenceSettings, aiohttp_client: AiohttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    content = await kept(engine, settings, aiohttp_client, "RayNodesMissing")
    checks = {check["name"]: check["message"] for check in content["status"]["checks"]}
    assert checks["RayNodes"] == "1/2 Ray nodes (alive: a; dead: b)"
    assert content["logs"][str(Path(settings.logs) / "worker-1.log")][-1] == "line 99"
    assert content["stacks"] == {"none": "py-spy is not installed beside the sidecar"}
    words = Path(settings.termination_log).read_text(encoding="utf-8")
    assert words.startswith("RayNodesMissing: 1/2 Ray nodes are alive; dead: b\nRayNodes: 1/2 Ray nodes")


async def test_an_engine_that_never_generates_leaves_evidence_too(
    engine: ScriptedEngine, settings: EvidenceSettings, aiohttp_client: AiohttpClient
) -> None:
    engine.replies["/v1/completions"] = error(500, "EngineDeadError")
    content = await kept(engine, settings, aiohttp_client, "GenerationFailed")
    assert "EngineDeadError" in content["status"]["message"]


async def test_the_stacks_are_of_whoever_listens_on_the_engines_port(
    engine: ScriptedEngine,
    settings: EvidenceSettings,
    aiohttp_client: AiohttpClient,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    program = tmp_path / "bin" / "py-spy"  # stands in for the real one, which is not on every machine
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n', encoding="ascii")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    content = await kept(engine, settings, aiohttp_client, "RayNodesMissing")
    assert content["stacks"][str(os.getpid())] == [f"dump --pid {os.getpid()}"]


async def test_what_cannot_be_kept_is_no_fault_of_the_sidecar(
    engine: ScriptedEngine, aiohttp_client: AiohttpClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    settings = SidecarSettings(
        engine_url=engine.url,
        model="m",
        judge_period=timedelta(milliseconds=5),
        evidence=EvidenceSettings(folder=str(tmp_path / "file" / "below")),
    )
    engine.replies["/v1/completions"] = Reply(status=500)
    client = await aiohttp_client(make_app(settings, HandClock()))
    await until(lambda: "evidence could not be kept" in caplog.text, "a warning")
    assert (await client.get("/healthz")).status == 200


def test_the_folder_holds_the_newest_files_alone_and_none_is_large(settings: EvidenceSettings) -> None:
    for number in range(6):
        write_evidence(settings, f"2026-{number}", {"status": STATUS, "logs": "x" * (3 << 20)})
    files = sorted(Path(settings.folder).iterdir())
    assert [file.name for file in files] == [f"2026-{number}-EngineStalled.json" for number in (3, 4, 5)]
    assert max(file.stat().st_size for file in files) <= settings.most_bytes
    assert Path(settings.termination_log).stat().st_size <= 4096


def test_the_logs_that_are_kept_are_the_newest_and_their_last_lines(settings: EvidenceSettings) -> None:
    for number in range(20):
        file = Path(settings.logs) / f"{number}.out"
        file.write_bytes(b"\xff" * 200_000 + b"\nlast\n")
        os.utime(file, (4e9 + number, 4e9 + number))
    lines = last_lines(settings)
    assert [Path(name).stem for name in lines] == [str(number) for number in range(19, 3, -1)]
    assert all(len(each) <= settings.most_lines and each[-1] == "last" for each in lines.values())


def test_where_kubernetes_has_made_no_message_file_none_is_made(settings: EvidenceSettings) -> None:
    Path(settings.termination_log).unlink()
    write_evidence(settings, "2026", {"status": STATUS})
    assert not Path(settings.termination_log).exists()
