"""A real Kubernetes of one node: started on a machine of its own, ended with it, KubeRay's operator included.

::

    async with real_cluster(default_cache(), progress=print) as cluster:
        ...  # cluster.client, cluster.kubeconfig; our images are there, KubeRay acts, nothing of ours is installed

One runs at a time on a machine; another start waits for its end. What a killed one left is removed by the next start.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import connect
from rayfleet.model.resources import ENDPOINT_SLICES, NODES, SERVICES
from rayfleet.objects.conditions import is_true
from rayfleet.objects.meta import name_of
from rayfleet.testing.definitions import install, read_definitions
from rayfleet.testing.realkube import (
    HELM_VERSIONS,
    NodePrograms,
    ensure_binaries,
    ensure_controller_manager,
    ensure_helm,
    ensure_kubectl,
    ensure_kuberay_operator,
    ensure_node_programs,
    gateway_api_crds,
    kuberay_crds,
    prometheus_operator_crds,
)
from rayfleet.testing.realkube.build import Binaries
from rayfleet.testing.realkube.credentials import (
    render_kubeconfig,
    write_client_certificate,
    write_private,
    write_signing_key,
)
from rayfleet.testing.realkube.files import Progress, told_while
from rayfleet.testing.realkube.server import ApiProbe
from rayfleet.testing.realnode import configuration
from rayfleet.testing.realnode.images import ImageArchive, ensure_images
from rayfleet.testing.realnode.machine import ADDRESS, FOLDER, Machine, running_machine
from rayfleet.testing.realnode.needs import CNI_FOLDER, check_needs
from rayfleet.testing.realnode.programs import RuntimePrograms, ensure_runtime
from rayfleet.testing.realnode.prometheus import ensure_prometheus
from rayfleet.testing.waiting import until

_START_SECONDS = 300.0  # on a machine that does other things too
_IMPORT_LIMIT = timedelta(minutes=20)  # 1.1 GB: half a minute on a machine that does nothing else


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPrograms:
    """Everything that a cluster is started from."""

    binaries: Binaries
    manager: Path
    node: NodePrograms
    runtime: RuntimePrograms
    operator: Path
    images: ImageArchive


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCluster:
    """A cluster that can be used; its client may do everything."""

    client: KubeClient
    kubeconfig: Path
    audit_log: Path
    machine: Machine

    def logs(self) -> dict[str, Path]:
        """Return the logs of the cluster's own programs, by their names."""
        return {path.stem: path for path in sorted(self.machine.folder.glob("*.log"))}


def ensure_everything(cache: Path, *, progress: Progress) -> ClusterPrograms:
    """Return what a cluster needs, building what ``cache`` lacks: some 20 minutes of two cores the first time.

    What its tests use beside it is there then too: Helm, kubectl, Prometheus and the kinds of its operator.
    Raises ``NeedsMissing`` before anything is built, and ``RealKubeError``.
    """
    check_needs()
    ensure_helm(cache, HELM_VERSIONS[-1], progress=progress)
    ensure_kubectl(cache, progress=progress)
    ensure_prometheus(cache, progress=progress)
    prometheus_operator_crds(cache, progress=progress)
    runtime = ensure_runtime(cache, progress=progress)
    return ClusterPrograms(
        binaries=ensure_binaries(cache, progress=progress),
        manager=ensure_controller_manager(cache, progress=progress),
        node=ensure_node_programs(cache, progress=progress),
        runtime=runtime,
        operator=ensure_kuberay_operator(cache, progress=progress),
        images=ensure_images(cache, runtime.pause, progress=progress),
    )


@asynccontextmanager
async def real_cluster(cache: Path, *, progress: Progress) -> AsyncIterator[RunningCluster]:
    """Run a cluster for the length of the block. Raises ``RealKubeError`` and ``NotInTime``."""
    programs = await asyncio.to_thread(ensure_everything, cache, progress=progress)
    with running_machine(programs.runtime.pause, progress=progress) as machine:
        await _start_control_plane(machine, programs)
        settings = ClientSettings(queries_per_second=1000, burst=2000)
        async with await connect(configuration.KUBECONFIG, settings=settings) as client:
            progress("the API server answers; starting the node")
            await _start_node(machine, programs, client, progress)
            progress("the node is ready; starting KubeRay")
            await _start_operator(machine, programs, client, cache, progress)
            yield RunningCluster(
                client=client,
                kubeconfig=configuration.KUBECONFIG,
                audit_log=configuration.AUDIT_LOG,
                machine=machine,
            )


async def _start_control_plane(machine: Machine, programs: ClusterPrograms) -> None:
    token = secrets.token_urlsafe(24)
    write_private(FOLDER / "tokens.csv", f"{token},admin,admin,system:masters\n")
    write_signing_key(FOLDER / "sa.key", FOLDER / "sa.pub")
    certificate, key = FOLDER / "kubelet-client.crt", FOLDER / "kubelet-client.key"
    write_client_certificate(certificate, key, user="kube-apiserver", group="system:masters")
    for name, content in configuration.files(CNI_FOLDER).items():
        (FOLDER / name).parent.mkdir(exist_ok=True)
        (FOLDER / name).write_text(content, encoding="utf-8")
    machine.start("etcd", configuration.etcd(programs.binaries.etcd))
    server = machine.start("kube-apiserver", configuration.apiserver(programs.binaries))
    ca_file = FOLDER / configuration.CERTIFICATES / "apiserver.crt"
    api = ApiProbe(host=ADDRESS, port=6443, token=token, ca_file=ca_file)
    await until(lambda: asyncio.to_thread(api.is_ready), f"the API server is ready: {server.log}", _START_SECONDS)
    kubeconfig = render_kubeconfig(url=configuration.API, token=token, ca_pem=ca_file.read_bytes())
    write_private(configuration.KUBECONFIG, kubeconfig)
    machine.start("kube-controller-manager", configuration.controller_manager(programs.manager))
    machine.start("kube-scheduler", configuration.scheduler(programs.node))


async def _start_node(machine: Machine, programs: ClusterPrograms, client: KubeClient, progress: Progress) -> None:
    runtime = programs.runtime
    path = f"PATH={runtime.folder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    containerd = machine.start(
        "containerd", ["env", path, str(runtime.containerd), "--config", f"{FOLDER}/containerd.toml"]
    )
    await until(configuration.SOCKET.exists, f"containerd listens: {containerd.log}", _START_SECONDS)
    ctr = [str(runtime.ctr), "--address", str(configuration.SOCKET), "--namespace", "k8s.io"]
    archive = str(programs.images.path)
    importing = [*ctr, "images", "import", "--all-platforms", archive]
    with told_while("importing our images", progress):
        await asyncio.to_thread(machine.run, importing, limit=_IMPORT_LIMIT)
    machine.start("kubelet", configuration.kubelet(programs.node))
    machine.start("kube-proxy", configuration.proxy(programs.node))
    machine.start("coredns", [str(runtime.coredns), "-conf", f"{FOLDER}/Corefile"])
    service, endpoints = configuration.dns_objects()
    await client.create(SERVICES, service)
    await client.create(ENDPOINT_SLICES, endpoints)

    async def ready_nodes() -> list[str]:
        return [name_of(node) for node in (await client.list(NODES)).items if is_true(node, "Ready")]

    await until(ready_nodes, f"the node is Ready: {FOLDER / 'kubelet.log'}", _START_SECONDS, every=0.5)


async def _start_operator(
    machine: Machine, programs: ClusterPrograms, client: KubeClient, cache: Path, progress: Progress
) -> None:
    paths = [*gateway_api_crds(cache, progress=progress), *kuberay_crds(cache, progress=progress)]
    definitions = await asyncio.to_thread(read_definitions, paths)
    await install(client, definitions, _START_SECONDS)
    addresses = ("--metrics-addr", "0", "--health-probe-bind-address", "0")
    kubeconfig = ("--kubeconfig", str(configuration.KUBECONFIG))
    machine.start(
        "kuberay-operator", [str(programs.operator), *kubeconfig, *addresses, "--enable-leader-election=false"]
    )
