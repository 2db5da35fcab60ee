"""The real etcd and kube-apiserver: started, spoken to with plain HTTP, stopped without a trace."""

import asyncio
import os
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rayfleet.testing.definitions import read_definitions
from rayfleet.testing.realkube import (
    KUBERNETES_VERSION,
    Binaries,
    RealKubeServer,
    RunningApiServer,
    default_cache,
    ensure_binaries,
    ensure_kubectl,
    gateway_api_crds,
    kuberay_crds,
    real_kube_apiserver,
)
from rayfleet.testing.waiting import until

pytestmark = [
    pytest.mark.realkube,
    pytest.mark.timeout(2700),  # on a fresh machine the first fixture builds both programs
]


@pytest.fixture(scope="module")
def binaries() -> Binaries:
    return ensure_binaries(default_cache(), progress=print)


def _session(api: RunningApiServer) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        base_url=api.url,
        headers={"Authorization": f"Bearer {api.token}"},
        connector=aiohttp.TCPConnector(ssl=api.ssl_context()),
        timeout=aiohttp.ClientTimeout(total=30),
    )


async def _create(session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with session.post(path, json=body) as answer:
        created: dict[str, Any] = await answer.json()
        assert answer.status == 201, created
    return created


async def _create_crds(session: aiohttp.ClientSession, files: Sequence[Path]) -> None:
    for crd in read_definitions(files):
        await _create(session, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)


async def _status(session: aiohttp.ClientSession, path: str) -> int:
    async with session.get(path) as answer:
        return answer.status


def _running(process_ids: Sequence[int]) -> list[int]:
    return [pid for pid in process_ids if Path(f"/proc/{pid}").exists()]


async def test_it_keeps_objects_while_it_runs_and_no_process_afterwards(binaries: Binaries, tmp_path: Path) -> None:
    async with real_kube_apiserver(binaries, tmp_path) as api:
        assert _running(api.process_ids) == list(api.process_ids)
        async with _session(api) as session:
            await _create(session, "/api/v1/namespaces", {"metadata": {"name": "team-a"}})
            await _create(
                session,
                "/api/v1/namespaces/team-a/configmaps",
                {"metadata": {"name": "settings"}, "data": {"key": "value"}},
            )
            async with session.get("/api/v1/namespaces/team-a/configmaps/settings") as answer:
                assert (await answer.json())["data"] == {"key": "value"}
            async with session.get("/version") as answer:
                version = await answer.json()
        assert (version["gitVersion"], version["major"], version["minor"]) == (KUBERNETES_VERSION, "1", "36")
    assert _running(api.process_ids) == []
    async with _session(api) as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("/readyz")


async def test_without_the_token_it_refuses(binaries: Binaries, tmp_path: Path) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    async with (
        real_kube_apiserver(binaries, tmp_path) as api,
        _session(api) as session,
        session.get("/api/v1/namespaces", headers=wrong) as answer,
    ):
        assert answer.status == 401


async def test_it_has_its_data_and_its_address_again_after_a_restart(binaries: Binaries, tmp_path: Path) -> None:
    server = RealKubeServer(binaries, tmp_path)
    try:
        before = await asyncio.to_thread(server.start)
        async with _session(before) as session:
            created = await _create(session, "/api/v1/namespaces", {"metadata": {"name": "team-b"}})
        await asyncio.to_thread(server.stop)
        assert _running(before.process_ids) == []
        after = await asyncio.to_thread(server.start)
        assert (after.url, after.token) == (before.url, before.token)
        async with _session(after) as session, session.get("/api/v1/namespaces/team-b") as answer:
            assert (await answer.json())["metadata"]["uid"] == created["metadata"]["uid"]
    finally:
        await asyncio.to_thread(server.close)


async def test_it_serves_the_crds_of_gateway_api_and_kuberay_as_they_are_published(
    binaries: Binaries, tmp_path: Path
) -> None:
    cache = default_cache()
    files = [*gateway_api_crds(cache, progress=print), *kuberay_crds(cache, progress=print)]
    async with real_kube_apiserver(binaries, tmp_path) as api, _session(api) as session:
        await _create_crds(session, files)
        for path in (
            "/apis/gateway.networking.k8s.io/v1/httproutes",
            "/apis/gateway.networking.k8s.io/v1/gateways",
            "/apis/gateway.networking.k8s.io/v1/referencegrants",
            "/apis/ray.io/v1/rayclusters",
        ):
            await until(partial(_status, session, path), f"{path} is served", 30, holds=lambda status: status == 200)


def test_the_real_kubectl_takes_its_kubeconfig(binaries: Binaries, tmp_path: Path) -> None:
    kubectl = ensure_kubectl(default_cache(), progress=print)
    with RealKubeServer(binaries, tmp_path) as api:
        done = subprocess.run(
            [kubectl, "auth", "can-i", "*", "*", "--all-namespaces"],
            env={**os.environ, "KUBECONFIG": str(api.kubeconfig), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, "yes\n"), done.stderr
    assert _running(api.process_ids) == []
