"""What our controllers cost: fleets on the real API server, whose audit log counts every write.

Phases: create all fleets until every replica is available; nothing for 20 s; another template until every replica is
updated. Replicas are simulated (``tests.bench.simulator``), so that what is measured is the controllers and the API
server. ``--against`` runs another commit in the same way first, on an API server of its own, with its own definitions.
Figures for people, never asserted.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import connect
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, NAMESPACES
from rayfleet.objects.meta import generation_of
from rayfleet.objects.parts import part
from rayfleet.testing.definitions import install, read_definitions
from rayfleet.testing.fleet_world import fleet_manifest
from rayfleet.testing.realkube import (
    default_cache,
    ensure_binaries,
    gateway_api_crds,
    kuberay_crds,
    real_kube_apiserver,
)

ROOT = Path(__file__).parents[2]
_NAMESPACE = "bench"
_USER_AGENT = "rayfleet"
_LIMIT_SECONDS = 900
_IDLE_SECONDS = 20
_LOOK_SECONDS = 0.25
_WRITERS = 20
_CONTROLLER = "from rayfleet.cli.main import main; main()"
_PROFILED = "import cProfile; from rayfleet.cli.main import main; cProfile.run('main()', {file!r})"
_DEFINITIONS = "import json; from rayfleet.manifest.crds import fleet_crds; print(json.dumps(list(fleet_crds())))"
_WRITES = frozenset({"create", "update", "patch", "delete"})
_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "verbs": sorted(_WRITES)}, {"level": "None"}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is made; ``profile`` is a file for a profile of this tree's controllers (which makes them slower).

    ``is_created_only``: the other phases are left out.
    """

    fleets: int
    replicas: int
    profile: str = ""
    is_created_only: bool = False

    @property
    def total(self) -> int:
        """Return the number of replicas of all fleets."""
        return self.fleets * self.replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Packages whose controllers are measured: this checkout's, or another commit's in ``folder``, plugins and all."""

    name: str
    folder: Path | None = None

    def environment(self) -> dict[str, str]:
        """Return an environment in which Python imports this tree's packages."""
        found = {"PYTHONPATH": str(self.folder)} if self.folder else {}
        return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **found}


@dataclass(slots=True, kw_only=True)
class Phase:
    """What one phase took."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_mib: float
    writes: Counter[str] = field(default_factory=Counter)


class Audit:
    """Reads the audit log as it grows and counts the controllers' writes by kind."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = 0

    def counted(self) -> Counter[str]:
        """Return the writes since the last call, by resource and verb; refused ones count, they cost the same."""
        counts: Counter[str] = Counter()
        with self._log.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                counts.update(_write_of(json.loads(line)))
        return counts


def _write_of(entry: ReadOnlyJson) -> Iterator[str]:
    if entry["userAgent"] != _USER_AGENT or entry["stage"] != "ResponseComplete" or entry["verb"] not in _WRITES:
        return
    target = entry["objectRef"]
    subresource = f"/{target['subresource']}" if "subresource" in target else ""
    refused = "" if entry["responseStatus"]["code"] < 400 else f" {entry['responseStatus']['code']}"
    yield f"{entry['verb']} {target['resource']}{subresource}{refused}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One tree's controllers at work on an API server of their own."""

    client: KubeClient
    audit: Audit
    process_id: int
    size: Size

    async def phases(self) -> list[Phase]:
        """Run all phases that are asked for."""
        create = await self._measured("create", self._create)
        if self.size.is_created_only:
            return [create]
        idle = await self._measured(f"idle {_IDLE_SECONDS} s", lambda: asyncio.sleep(_IDLE_SECONDS))
        roll = await self._measured("new template", self._roll)
        after = await self._measured(f"idle {_IDLE_SECONDS} s", lambda: asyncio.sleep(_IDLE_SECONDS))
        return [create, idle, roll, after]

    async def _measured(self, name: str, work: Callable[[], object]) -> Phase:
        started, cpu = time.monotonic(), _cpu_seconds(self.process_id)
        await work()  # type: ignore[misc]  # a coroutine, of whichever type
        return Phase(
            name=name,
            seconds=time.monotonic() - started,
            cpu_seconds=_cpu_seconds(self.process_id) - cpu,
            peak_mib=_peak_mib(self.process_id),
            writes=self.audit.counted(),
        )

    async def _create(self) -> None:
        await self._each(lambda name: self.client.create(FLEETS, _manifest(name, self.size.replicas)))
        await self._until_all_are_available()

    async def _roll(self) -> None:
        image = {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.61.0"}]}}
        patch = {"spec": {"template": {"spec": {"headGroupSpec": {"template": image}}}}}
        await self._each(lambda name: self.client.patch(FLEETS, ObjectKey(namespace=_NAMESPACE, name=name), patch))
        await self._until_all_are_available()

    async def _each(self, write: Callable[[str], object]) -> None:
        names = [f"model-{number:04}" for number in range(self.size.fleets)]

        async def some(mine: Sequence[str]) -> None:
            for name in mine:
                await write(name)  # type: ignore[misc]  # a coroutine, of whichever type

        await asyncio.gather(*(some(names[start::_WRITERS]) for start in range(_WRITERS)))

    async def _until_all_are_available(self) -> None:
        async with asyncio.timeout(_LIMIT_SECONDS):
            while True:
                listed = await self.client.list(FLEETS, _NAMESPACE)
                if all(_is_done(raw, self.size.replicas) for raw in listed.items):
                    return
                await asyncio.sleep(_LOOK_SECONDS)


def _manifest(name: str, replicas: int) -> Json:
    return fleet_manifest(_NAMESPACE, name, replicas=replicas)


def _is_done(raw: ReadOnlyJson, replicas: int) -> bool:
    status = part(raw, "status")
    counts = ("replicas", "updatedReplicas", "availableReplicas")
    is_current = status.get("observedGeneration") == generation_of(raw)
    return bool(is_current and all(status.get(name) == replicas for name in counts))


async def main(size: Size, against: str) -> None:
    """Measure and print."""
    trees = [Tree(name="this tree")]
    with _installed(against) as other:
        results = {tree.name: await _run(tree, size) for tree in (*other, *trees)}
    _print(results, size)


@contextmanager
def _installed(commit: str) -> Iterator[Sequence[Tree]]:
    """Give the packages of another commit, or none when ``commit`` is empty."""
    if not commit:
        yield ()
        return
    with tempfile.TemporaryDirectory(prefix="rayfleet-bench-") as folder:
        source, packages = Path(folder) / "source", Path(folder) / "packages"
        source.mkdir()
        archive = subprocess.run(("git", "archive", commit), cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(("tar", "-x", "-C", str(source)), input=archive, check=True)
        install = (
            sys.executable,
            "-m",
            "uv",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(packages),
            str(source),
        )
        subprocess.run(install, check=True)
        yield (Tree(name=commit, folder=packages),)


async def _run(tree: Tree, size: Size) -> list[Phase]:
    _say(f"{tree.name}: {size.fleets} fleets x {size.replicas} replicas")
    with tempfile.TemporaryDirectory(prefix="rayfleet-bench-") as folder:
        policy, log = Path(folder) / "policy.json", Path(folder) / "audit.log"
        policy.write_text(json.dumps(_POLICY), encoding="utf-8")
        flags = (f"--audit-policy-file={policy}", f"--audit-log-path={log}", "--audit-log-maxsize=4096")
        binaries = ensure_binaries(default_cache(), progress=_say)
        async with real_kube_apiserver(binaries, Path(folder) / "api", apiserver_flags=flags) as api:
            settings = ClientSettings(queries_per_second=5000, burst=5000, user_agent="bench")
            async with await connect(api.kubeconfig, settings=settings) as client:
                await install(client, _definitions(tree))
                await client.create(NAMESPACES, {"metadata": {"name": _NAMESPACE}})
                program = _CONTROLLER
                if size.profile and not tree.folder:
                    program = _PROFILED.format(file=size.profile)
                async with _processes(tree, api.kubeconfig, program, Path(folder) / "controller.log") as controller:
                    bench = Bench(client=client, audit=Audit(log), process_id=controller, size=size)
                    return await bench.phases()


def _definitions(tree: Tree) -> list[Json]:
    command = (sys.executable, "-c", _DEFINITIONS)
    own = json.loads(subprocess.run(command, env=tree.environment(), check=True, capture_output=True).stdout)
    cache = default_cache()
    foreign = [*kuberay_crds(cache, progress=_say), *gateway_api_crds(cache, progress=_say)]
    return [*own, *read_definitions(foreign)]


@asynccontextmanager
async def _processes(tree: Tree, kubeconfig: Path, program: str, log: Path) -> AsyncIterator[int]:
    """Run the simulator and the tree's controllers; give the controllers' process id, or end with their last words."""
    simulator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.simulator", str(kubeconfig), cwd=ROOT
    )
    with log.open("wb") as words:
        controller = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, "controller", "--kubeconfig", str(kubeconfig), "-n", _NAMESPACE),
            env=tree.environment(),
            stderr=words,
        )
    try:
        await asyncio.sleep(2)  # both have their first lists
        if controller.returncode is not None:
            sys.exit(f"the controllers of {tree.name} ended: {log.read_text(encoding='utf-8')[-1000:]}")
        yield controller.pid
    finally:
        for process in (controller, simulator):
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()


def _cpu_seconds(process_id: int) -> float:
    text = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii")
    fields = text.rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mib(process_id: int) -> float:
    text = Path(f"/proc/{process_id}/status").read_text(encoding="ascii")
    return int(text.split("VmHWM:")[1].split()[0]) / 1024


def _print(results: Mapping[str, Sequence[Phase]], size: Size) -> None:
    names = list(results)
    _say(f"\n| phase | tree | seconds | writes | per replica | CPU s | peak MiB |\n|{' --- |' * 7}")
    for number in range(len(results[names[0]])):
        for name in names:
            phase = results[name][number]
            count = phase.writes.total()
            _say(
                f"| {phase.name} | {name} | {phase.seconds:.1f} | {count} | {count / size.total:.2f} "
                f"| {phase.cpu_seconds:.1f} | {phase.peak_mib:.0f} |"
            )
    for name in names:
        for phase in results[name]:
            kinds = ", ".join(f"{kind} {count / size.total:.2f}" for kind, count in phase.writes.most_common())
            _say(f"\n{name}, {phase.name}, per replica: {kinds or 'nothing'}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
