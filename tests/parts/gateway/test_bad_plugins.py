"""Requests beside plugins that raise, hang and leak: none fails, and the stream of another route goes on."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from rayfleet.testing.engine import fake_engine
from rayfleet.testing.gateway_process import GatewayProcess
from rayfleet.testing.suites.data_plane.objects import matching, route, rule, served

REQUESTS, AT_ONCE = 5000, 50
PLUGIN = """
import time
from rayfleet.plugin.hookspecs import hookimpl

rayfleet_contract = 1
KEPT = []


class Raises:
    name = "raises"

    def score(self, request, endpoints):
        raise ValueError("no score today")


class Hangs:
    name = "hangs"

    def score(self, request, endpoints):
        while True:
            try:
                time.sleep(3600)
            except Exception:
                pass


class Leaks:
    name = "leaks"

    def keep(self, request, endpoints):
        KEPT.append(request.body + bytes(1000))
        return [True] * len(endpoints)


@hookimpl
def rayfleet_filters():
    return (Leaks(),)


@hookimpl
def rayfleet_scorers():
    return (Raises(), Hangs())
"""
PROFILES = "profiles: {all-bad: {filters: [leaks], scorers: {raises: 1, hangs: 1}}}"


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GatewayProcess:
    """Return a gateway that has the plugin, not yet started."""
    (tmp_path / "zoo_bad.py").write_text(PLUGIN, encoding="utf-8")
    info = tmp_path / "zoo_bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo_bad\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[rayfleet.plugins]\nzoo_bad = zoo_bad\n", encoding="utf-8")
    (tmp_path / "profiles.yaml").write_text(PROFILES, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    arguments = ("--config", str(tmp_path / "config"), "--profiles", str(tmp_path / "profiles.yaml"))
    return GatewayProcess(tmp_path, arguments=(*arguments, "--default-profile", "all-bad"))


async def test_no_request_fails_beside_plugins_that_raise_hang_and_leak(gateway: GatewayProcess) -> None:
    async with fake_engine() as first, fake_engine() as second:
        addresses = [("127.0.0.1", int(each.url.rpartition(":")[2])) for each in (first, second)]
        gateway.apply((*served("models", addresses), route("r", rule(matching("/v1"), to="models"))))
        with gateway:
            statuses = await statuses_of(f"http://127.0.0.1:{gateway.port}/v1/completions")
            log = gateway.log
    assert statuses == [200] * REQUESTS
    assert first.requests + second.requests >= REQUESTS
    for words in ("scorer hangs", "did not end within", "scorer raises", "no score today"):
        assert words in log


async def statuses_of(url: str) -> list[int]:
    left = iter(range(REQUESTS))
    statuses: list[int] = []

    async def client(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.post(url, json={"model": "fake", "prompt": "x", "max_tokens": 1}) as answer:
                await answer.read()
                statuses.append(answer.status)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(client(session))
    return statuses
