"""One replica over two nodes, the processes of its ranks, and what is seen from outside when one dies."""

import contextlib
import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.fleets import HEADS, asked, head_pods, processes_of, ready_addresses, watched, worker_of

from rayfleet.local.proc import ProcessIdentity, identity_of
from rayfleet.model.ports import SIDECAR_PORT
from rayfleet.objects.conditions import is_true
from rayfleet.objects.containers import container_lives
from rayfleet.objects.labels import FLEET_LABEL, SERVICE_NAME_LABEL
from rayfleet.plugin.settings import read_plugin_settings
from rayfleet.testing import llamacpp_rpc, vllm_cpu
from rayfleet.testing.machine import Machine
from rayfleet.testing.waiting import wait_until
from rayfleet_sidecar.settings import EvidenceSettings

EXAMPLES = Path(__file__).parents[2] / "examples"
WITH_RAY, WITHOUT_RAY, BY_RPC = "02-vllm-two-nodes", "03-vllm-without-ray", "04-llamacpp-over-two-nodes"
UP_SECONDS = 400
BACK_SECONDS = 240  # a start is a minute of imports on two idle cores
OFF_AFTER_DEATH_SECONDS = 2
OFF_AFTER_FREEZE_SECONDS = 10
EVIDENCE = "/tmp/rayfleet-evidence"
_RANK_NAMES = ("VLLM::Worker", "RayWorkerProc", "ggml-rpc-server")
_LOOK_SECONDS = 0.05
Events = Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Replica:
    """The only replica of a fleet."""

    machine: Machine

    def head(self) -> dict[str, Any]:
        (head,) = head_pods(self.machine)
        return dict(head)

    def pod(self, rank: int) -> dict[str, Any]:
        """Return the pod that holds a rank: the head's is 0."""
        return worker_of(self.machine, self.head()) if rank else self.head()

    def rank_process(self, rank: int) -> int:
        """Return the process that holds a rank's part of the model."""
        lines = {pid: command_line(pid) for pid in processes_of(self.pod(rank))}
        engine = {pid: line for pid, line in lines.items() if not is_shell(line)}
        ranks = [pid for pid, line in engine.items() if any(name in line for name in _RANK_NAMES)]
        assert len(ranks) == 1, f"processes of rank {rank}: {lines}"
        return ranks[0]

    def node_process(self, rank: int) -> int:
        """Return what stands for the node to the others: its raylet, without Ray the engine's first process."""
        lines = {pid: command_line(pid) for pid in processes_of(self.pod(rank))}
        nodes = [pid for pid, line in lines.items() if "raylet/raylet " in line]
        nodes = nodes or [pid for pid, line in lines.items() if "/vllm serve " in line and not is_shell(line)]
        assert len(nodes) == 1, f"processes of rank {rank}: {lines}"
        return nodes[0]


def vllm_environment() -> Path:
    """Return the folder of vLLM's environment; without one the test is skipped."""
    folder = vllm_cpu.environment_folder(read_plugin_settings().cache)
    if not folder.is_dir():
        pytest.skip("vLLM's environment is not in the cache: run `make engines`")
    return folder


def require_engine(example: str) -> None:
    """Skip the test where the engine of an example is not in the cache."""
    if example != BY_RPC:
        vllm_environment()
    elif not llamacpp_rpc.environment_folder(read_plugin_settings().cache).is_dir():
        pytest.skip("llama.cpp's programs are not in the cache: run `make engines-full`")


@contextlib.contextmanager
def served_replica(state_home: Path, example: str) -> Iterator[Replica]:
    """Have the fleet of an example serve on a cluster of its own; nothing is left of it, whatever happened."""
    require_engine(example)
    manifest = EXAMPLES / example / "fleet.yaml"
    machine = Machine(state_home=state_home, name="engines")
    flags = ("--detach", "-f", str(manifest), "--gateway-port", "0")
    try:
        done = machine.rayfleet("up", *flags, limit=UP_SECONDS)
        assert done.returncode == 0, done.stderr
        with shown_logs(machine):
            fleet = yaml.safe_load(manifest.read_text(encoding="utf-8"))["metadata"]["name"]
            available = f"{fleet} is available"
            wait_until(lambda: machine.get(f"rcf/{fleet}")["status"].get("availableReplicas"), available, UP_SECONDS)
            yield Replica(machine)
    finally:
        machine.rayfleet("down")
        assert machine.leftovers() == {"processes": [], "slots": [], "notes": []}


@contextlib.contextmanager
def shown_logs(machine: Machine) -> Iterator[None]:
    """Add to a failure the ends of all logs."""
    try:
        yield
    except AssertionError as error:
        for log in sorted(machine.root.rglob("*.log")):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-60:]
            error.add_note("\n".join((f"--- {log.relative_to(machine.root)}", *(line[:240] for line in lines))))
        raise


@dataclass(slots=True)
class Seen:
    """When something was first seen by the monotonic clock; infinite while it was not."""

    unready_at: float = float("inf")
    words: str = ""
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss that was brought about: when, the head's address then, what was seen, and the watches.

    ``is_judged``: the sidecar has to tell of it; it does not of an engine that is asked to end and finishes its work.
    """

    at: float
    date: datetime
    address: str
    seen: Seen
    slices: Events
    pods: Events
    old_lives: frozenset[str]
    old_ranks: tuple[ProcessIdentity, ...]
    old_evidence: frozenset[Path]
    is_judged: bool

    def off_after(self) -> float:
        """Return after how many seconds no endpoint was ready, and the sidecar had said so; infinite: not yet."""
        outs = [event["at"] for event in self.slices if event["at"] >= self.at and not ready_addresses(event["object"])]
        told_at = self.seen.unready_at if self.is_judged else self.at
        return max(told_at, min(outs, default=float("inf"))) - self.at

    def new_heads(self) -> set[str]:
        """Return the lives of head containers that began since.

        KubeRay gives a Ray cluster whose head was deleted another one at once, also where all of the cluster is to go:
        such a pod, which is gone and never was ready, is no rebuild.
        """
        new = lives(self.pods) - self.old_lives
        return new if self.is_judged else {life for life in new if life.partition(" ")[0] not in self._cut_short()}

    def _cut_short(self) -> set[str]:
        events = list(self.pods)
        gone = {event["object"]["metadata"]["uid"] for event in events if event["type"] == "DELETED"}
        return gone - {event["object"]["metadata"]["uid"] for event in events if is_true(event["object"], "Ready")}

    def last_words(self) -> set[str]:
        """Return the messages of head containers that ended since."""
        pods = [event["object"] for event in list(self.pods)]
        ends = [end for pod in pods for life in container_lives(pod) for end in (life.end, life.last_end)]
        return {end.message for end in ends if end is not None and end.at is not None and end.at >= self.date}


@contextlib.contextmanager
def losing(replica: Replica, lose: Callable[[], object], *, is_judged: bool = True) -> Iterator[Loss]:
    """Bring a loss about, and watch what becomes of it: the head's ``/ready``, the endpoints, the head's lives."""
    machine, head = replica.machine, replica.head()
    fleet = head["metadata"]["labels"][FLEET_LABEL]
    (service,) = machine.get("services", "-l", f"{FLEET_LABEL}={fleet}")["items"]
    slices = ("endpointslices", "-l", f"{SERVICE_NAME_LABEL}={service['metadata']['name']}")
    seen = Seen()
    address = str(head["status"]["podIP"])
    url = f"http://{address}:{SIDECAR_PORT}/ready"
    poller = threading.Thread(target=_poll, args=(url, seen))
    with watched(machine, *slices) as slice_events, watched(machine, "pods", "-l", HEADS) as pod_events:
        old = frozenset(lives(pod_events))
        ranks = tuple(identity_of(replica.rank_process(rank)) for rank in (0, 1))
        kept = frozenset(evidence_at(address))
        at, date = time.monotonic(), datetime.now(UTC).replace(microsecond=0)  # as Kubernetes tells times
        lose()
        poller.start()
        try:
            yield Loss(at, date, address, seen, slice_events, pod_events, old, ranks, kept, is_judged)
        finally:
            seen.stop.set()
            poller.join(20)


def _poll(url: str, seen: Seen) -> None:
    while not seen.stop.wait(_LOOK_SECONDS):
        status, words = asked(url)
        if status != 200:
            seen.unready_at, seen.words = time.monotonic(), words
            return


def lives(pods: Events) -> set[str]:
    """Return the lives of the Ray containers in these events: the pod and its container."""
    found = set()
    for event in list(pods):
        for status in event["object"].get("status", {}).get("containerStatuses", ()):
            if status["name"].startswith("ray-") and "running" in status["state"]:
                found.add(f"{event['object']['metadata']['uid']} {status['containerID']}")
    return found


def answers(replica: Replica) -> bool:
    """Whether the gateway gives the right answer now."""
    try:
        return "Paris" in replica.machine.ask(limit=60)
    except (OSError, http.client.HTTPException, KeyError, ValueError):
        return False


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def is_shell(line: str) -> bool:
    """Whether a command line is a node's script, which names all that it starts."""
    return line.partition(" ")[0].endswith("bash")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def freeze(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def check_recovery(replica: Replica, loss: Loss, limit_seconds: float) -> None:
    """Hold what is promised of a loss: traffic off within the limit, one rebuild, the answer, nothing left of it."""
    wait_until(lambda: loss.off_after() < float("inf"), "traffic is off", 60, every=_LOOK_SECONDS)
    off = loss.off_after()
    told = f"off after {off:.2f} s (/ready after {loss.seen.unready_at - loss.at:.2f} s: {loss.seen.words.strip()})"
    wait_until(lambda: answers(replica), f"it answers again; {told}", BACK_SECONDS, every=1)
    back = f"{told}; answers after {time.monotonic() - loss.at:.1f} s"
    print(back)  # noqa: T201 - shown when it fails
    assert off <= limit_seconds, back
    assert len(loss.new_heads()) == 1, f"one rebuild; {back}"
    assert [command_line(each.pid) for each in loss.old_ranks if each.is_alive()] == []


def check_evidence(loss: Loss, *, is_replaced_whole: bool = False) -> None:
    """Hold what is kept of a loss: what the sidecar knew then, and what the head's script said last.

    ``is_replaced_whole``: the head's pod may be asked to end before its script has seen anything, as that of a head
    whose worker's node was lost; then the sidecar, which ends too, names the evidence.
    """
    kept = evidence_at(loss.address)
    new = [path for path in kept if path not in loss.old_evidence]
    assert new, kept
    assert json.loads(new[0].read_text(encoding="utf-8"))["status"]["ready"] is False
    assert len(kept) <= EvidenceSettings().most_files
    enough = ("rayfleet: ", "\nevidence: ") if is_replaced_whole else ("rayfleet: ",)
    words = loss.last_words()
    assert any(text in message for message in words for text in enough), words


def evidence_at(address: str) -> list[Path]:
    """Return what the sidecar of a head has kept, oldest first."""
    return sorted(Path(EVIDENCE, address).glob("*.json"))
