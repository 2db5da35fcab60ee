"""A real kube-apiserver on its own etcd, ready in about two seconds, on loopback only.

What it is: storage, API semantics, CRDs, admission, RBAC, all of it real. What it is not: there is no controller
manager, so nothing collects garbage, no Deployment makes Pods, no namespace finishes its deletion, and service
accounts get no token (their admission plugin is off); there is no node either.

``RealKubeServer`` is for a fixture that lives as long as a test session; ``real_kube_apiserver`` for one test.
"""

import asyncio
import http.client
import secrets
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType

from rayfleet.testing.realkube.build import Binaries
from rayfleet.testing.realkube.credentials import render_kubeconfig, write_private, write_signing_key
from rayfleet.testing.realkube.errors import ServerStartError
from rayfleet.testing.realkube.processes import Daemon, Keeper

_START_LIMIT = timedelta(seconds=150)  # with other tests on its core
_POLL_SECONDS = 0.02
_PORT_ATTEMPTS = 3
# Below those that Linux gives to connections (from 32768 on): none gets one of these while a server is away.
_PORTS = range(10_000, 32_000)
_ADVERTISED = "192.0.2.1"  # of the range for documentation: nobody calls it, but the server refuses to name loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningApiServer:
    """How to reach a running server; ``token`` may do everything (group ``system:masters``)."""

    url: str
    token: str = field(repr=False)
    ca_file: Path
    kubeconfig: Path
    workdir: Path
    process_ids: tuple[int, ...]

    def ssl_context(self) -> ssl.SSLContext:
        """Return a context that trusts this server and nobody else."""
        return ssl.create_default_context(cafile=self.ca_file)


@dataclass(slots=True, kw_only=True)
class ApiProbe:
    """Asks whether the API can be used; ``last`` is the last answer, for an error message."""

    port: int
    token: str = field(repr=False)
    ca_file: Path
    host: str = "127.0.0.1"
    last: str = "no answer"

    def is_ready(self) -> bool:
        """Whether the server answers as one that is ready."""
        # /readyz comes before the namespace `default`, without which the first create of a test fails now and then.
        return self._answers("/readyz") and self._answers("/api/v1/namespaces/default")

    def _answers(self, path: str) -> bool:
        try:
            trust = ssl.create_default_context(cafile=self.ca_file)
            with closing(http.client.HTTPSConnection(self.host, self.port, timeout=5, context=trust)) as connection:
                connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
                answer = connection.getresponse()
                self.last = f"{path}: {answer.status} {answer.read(500).decode(errors='replace')}"
        except (OSError, http.client.HTTPException) as error:  # not there yet, or its certificate half written
            self.last = f"{path}: {error}"
            return False
        return answer.status == http.client.OK


class RealKubeServer:
    """etcd and kube-apiserver in ``workdir``; stopped and started again it has its old data, address and token.

    ``apiserver_flags`` come last on the command line (``--audit-log-path=…``). Each method may be called from any
    thread; ``stop`` and ``close`` also end a ``start`` that is under way.
    """

    def __init__(self, binaries: Binaries, workdir: Path, *, apiserver_flags: Sequence[str] = ()) -> None:
        self._binaries = binaries
        self._workdir = workdir.absolute()
        self._flags = tuple(apiserver_flags)
        self._token = secrets.token_urlsafe(24)
        self._ports: _Ports | None = None
        self._is_closed = False
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._started = ExitStack()  # ends what was started, last first

    def __enter__(self) -> RunningApiServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, *, limit: timedelta = _START_LIMIT) -> RunningApiServer:
        """Start both servers and return when the API answers.

        Raises ``ServerStartError`` with the end of the log; nothing runs then.
        """
        with self._lock:
            if self._is_closed:
                raise ServerStartError("the real API server has been closed")
            self._started.close()
            self._stopping.clear()
            _prepare(self._workdir, self._token)
            deadline = time.monotonic() + limit.total_seconds()
            for last_attempt in (*(False,) * (_PORT_ATTEMPTS - 1), True):
                try:
                    return self._start_once(deadline)
                except _PortTakenError:
                    self._ports = None  # somebody was quicker between our look and the server's
                    if last_attempt:
                        raise
            raise AssertionError  # the last attempt returns or raises

    def stop(self) -> None:
        """End both process groups; on return they are gone. A second call does nothing."""
        self._stopping.set()
        with self._lock:
            self._started.close()

    def close(self) -> None:
        """Stop for good: also a ``start`` that has not come to its work yet will start nothing."""
        self._is_closed = True
        self.stop()

    def _start_once(self, deadline: float) -> RunningApiServer:
        ports = self._ports = self._ports or _free_ports()
        with ExitStack() as started:
            keeper = Keeper()
            started.callback(keeper.dismiss)
            daemons: list[Daemon] = []
            for command in (
                _etcd_command(self._binaries.etcd, ports),
                [*_apiserver_command(self._binaries.kube_apiserver, ports), *self._flags],
            ):
                daemon = Daemon.start(command, folder=self._workdir)
                started.callback(daemon.end)
                keeper.watch(daemon)
                daemons.append(daemon)
            ca_file = self._workdir / "certificates" / "apiserver.crt"
            api = ApiProbe(port=ports.api, token=self._token, ca_file=ca_file)
            self._wait_ready(api, daemons, deadline)
            self._started = started.pop_all()
        url = f"https://127.0.0.1:{ports.api}"
        kubeconfig = self._workdir / "kubeconfig"
        write_private(kubeconfig, render_kubeconfig(url=url, token=self._token, ca_pem=ca_file.read_bytes()))
        return RunningApiServer(
            url=url,
            token=self._token,
            ca_file=ca_file,
            kubeconfig=kubeconfig,
            workdir=self._workdir,
            process_ids=tuple(daemon.process_id for daemon in daemons),
        )

    def _wait_ready(self, api: ApiProbe, daemons: Sequence[Daemon], deadline: float) -> None:
        while not api.is_ready():
            for daemon in daemons:
                code = daemon.exit_code()
                if code is not None:
                    taken = "address already in use" in daemon.describe()
                    kind = _PortTakenError if taken else ServerStartError
                    raise kind(f"{daemon.name} ended while starting (exit code {code}):\n{daemon.describe()}")
            if time.monotonic() > deadline:
                logs = "\n".join(f"{daemon.name}:\n{daemon.describe()}" for daemon in daemons)
                raise ServerStartError(f"the real API server did not get ready in time; last: {api.last}\n{logs}")
            if self._stopping.wait(_POLL_SECONDS):
                raise ServerStartError("the start of the real API server was called off")


@asynccontextmanager
async def real_kube_apiserver(
    binaries: Binaries, workdir: Path, *, apiserver_flags: Sequence[str] = ()
) -> AsyncIterator[RunningApiServer]:
    """Run a real API server in ``workdir`` for the length of the block; also a cancelled block leaves no process.

    Raises ``ServerStartError``.
    """
    server = RealKubeServer(binaries, workdir, apiserver_flags=apiserver_flags)
    try:
        yield await asyncio.to_thread(server.start)
    finally:
        await asyncio.to_thread(server.close)


class _PortTakenError(ServerStartError):
    """Another process took a port that was free a moment ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ports:
    etcd: int
    etcd_peer: int
    api: int


def _prepare(workdir: Path, token: str) -> None:
    """Write what the servers read before they start; what a former start wrote stays."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_private(workdir / "tokens.csv", f"{token},admin,admin,system:masters\n")
        if not (workdir / "sa.pub").exists():
            write_signing_key(workdir / "sa.key", workdir / "sa.pub")
    except OSError as error:
        raise ServerStartError(f"cannot write to {workdir}: {error.strerror}") from error


def _free_ports() -> _Ports:
    with ExitStack() as held:  # all held at once, so that they differ
        etcd, etcd_peer, api = (_free_port(held) for _ in range(3))
    return _Ports(etcd=etcd, etcd_peer=etcd_peer, api=api)


def _free_port(held: ExitStack) -> int:
    """Return a port that nobody has, bound until ``held`` ends."""
    while True:
        port = secrets.choice(_PORTS)
        with suppress(OSError):
            held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return port


def _etcd_command(program: Path, ports: _Ports) -> list[str]:
    client, peer = (f"http://127.0.0.1:{port}" for port in (ports.etcd, ports.etcd_peer))
    return [
        str(program),
        *("--name", "rayfleet-test", "--data-dir", "etcd", "--unsafe-no-fsync"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"rayfleet-test={peer}"),
    ]


def _apiserver_command(program: Path, ports: _Ports) -> list[str]:
    return [
        str(program),
        *("--etcd-servers", f"http://127.0.0.1:{ports.etcd}"),
        *("--bind-address", "127.0.0.1", "--secure-port", str(ports.api), "--advertise-address", _ADVERTISED),
        *("--cert-dir", "certificates", "--token-auth-file", "tokens.csv", "--authorization-mode", "Node,RBAC"),
        *("--service-account-issuer", "https://kubernetes.default.svc"),
        *("--service-account-signing-key-file", "sa.key", "--service-account-key-file", "sa.pub"),
        *("--service-cluster-ip-range", "10.0.0.0/16", "--allow-privileged"),
        *("--disable-admission-plugins", "ServiceAccount"),  # no controller manager makes the default account
    ]
