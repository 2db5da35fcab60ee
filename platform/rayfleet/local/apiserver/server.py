"""The running server: state folder, TLS, the listening socket. Edge: everything outside.

Listens on 127.0.0.1 only. The folder is locked, so that two servers never write one database.
"""

import asyncio
import errno
import fcntl
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from rayfleet.local.apiserver.app import AppSettings, build_app
from rayfleet.local.apiserver.certificates import ensure_credentials, server_tls, write_kubeconfig
from rayfleet.local.apiserver.cluster import announce, open_cluster
from rayfleet.local.apiserver.storage.storage import DEFAULT_WINDOW
from rayfleet.local.apiserver.verbs.expiry import keep_expiring
from rayfleet.model.errors import EnvironmentProblem

HOST = "127.0.0.1"
_SHUTDOWN_SECONDS = 2.0
_KEEPALIVE_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How to run; port 0 takes any free one."""

    state: Path
    port: int = 0
    pods_folder: Path | None = None
    window: int = DEFAULT_WINDOW


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningApiServer:
    """How to reach a running server; the token may do everything."""

    url: str
    token: str = field(repr=False)
    ca_file: Path
    kubeconfig: Path

    def ssl_context(self) -> ssl.SSLContext:
        """Return a context that trusts this server and nobody else."""
        return ssl.create_default_context(cafile=self.ca_file)


@asynccontextmanager
async def running_server(settings: ServerSettings) -> AsyncIterator[RunningApiServer]:
    """Serve for the length of the block; on the way out watches end, then the database is closed.

    Raises EnvironmentProblem: port in use, folder in use or not writable, no space.
    """
    state = settings.state.absolute()
    with _locked(state):
        token = ensure_credentials(state)
        cluster = open_cluster(state / "apiserver.sqlite", window=settings.window)
        app = build_app(cluster, AppSettings(token=token, pods_folder=settings.pods_folder), asyncio.Event())
        # No access log: a line costs more than a read.
        runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=_KEEPALIVE_SECONDS, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await runner.setup()
        expiry = asyncio.ensure_future(keep_expiring(cluster))
        try:
            port = await _listen(runner, settings.port, server_tls(state))
            announce(cluster, HOST, port)
            url = f"https://{HOST}:{port}"
            kubeconfig = write_kubeconfig(state, url, token)
            yield RunningApiServer(url=url, token=token, ca_file=state / "ca.crt", kubeconfig=kubeconfig)
        finally:
            expiry.cancel()
            await asyncio.wait([expiry])
            await runner.cleanup()
            cluster.close()


async def _listen(runner: web.AppRunner, port: int, tls: ssl.SSLContext) -> int:
    site = web.TCPSite(runner, HOST, port, ssl_context=tls)
    try:
        await site.start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise EnvironmentProblem(
            f"--port {port}: {HOST}:{port} is in use",
            way_out="End what listens there, or choose another: --port PORT (0: any free one).",
        ) from error
    return int(runner.addresses[0][1])


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Hold the folder for this process."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(state / "apiserver.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EnvironmentProblem(
            f"--state {state}: {error.strerror}", way_out="Name a folder that can be written to, with some space left."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise EnvironmentProblem(
                f"--state {state}: another API server runs in this folder",
                way_out="End it, or name another folder.",
            ) from error
        yield
    finally:
        os.close(descriptor)
