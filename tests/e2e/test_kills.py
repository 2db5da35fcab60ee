"""Rounds of random deaths: whatever dies of a replica, it serves again within a minute, and the other one serves on.

RAYFLEET_ROUNDS says how many rounds (30 is the long form), RAYFLEET_SEED repeats a run: each failure names its seed.
Processes die by SIGKILL, which nobody announces; pods are deleted without grace.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.clients import asking
from tests.e2e.fleets import (
    CLUSTER,
    HEADS,
    LOOK_SECONDS,
    asked,
    head_pods,
    processes_of,
    ready_endpoints,
    ready_replicas,
    serving_fleet,
    told,
    worker_of,
)

from rayfleet.model.ports import ENGINE_PORT, SIDECAR_PORT
from rayfleet.testing.machine import Machine
from rayfleet.testing.realkube import default_cache, ensure_kubectl
from rayfleet.testing.waiting import wait_until

ROUNDS = int(os.environ.get("RAYFLEET_ROUNDS", "6"))
SEED = int(os.environ.get("RAYFLEET_SEED", str(int(time.time()))))
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300 + ROUNDS * 90)]

REPLICAS = 2
NOTICED_SECONDS = 20
BACK_SECONDS = 60
Death = Callable[[Machine, dict[str, Any]], None]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    spec = {
        # As with accelerators: what goes keeps its place until it is gone.
        "replacementPolicy": "TerminationComplete",
        # Thirty rounds of it are no accident that a budget ought to end.
        "recovery": {"maxRebuilds": 1000, "firstBackoffSeconds": 1, "longestBackoffSeconds": 1},
    }
    with serving_fleet(tmp_path_factory.mktemp("state"), "kills", **spec) as machine:
        yield machine


def _actor_dies(machine: Machine, head: dict[str, Any]) -> None:
    servers = json.loads(asked(f"http://{head['status']['podIP']}:{ENGINE_PORT}/health")[1])["servers"]
    _kill([server["pid"] for server in servers if server["pid"]][-1:])


def _raylet_dies(machine: Machine, head: dict[str, Any]) -> None:
    _kill([pid for pid in processes_of(worker_of(machine, head)) if "raylet/raylet" in _command_line(pid)])


def _worker_dies(machine: Machine, head: dict[str, Any]) -> None:
    _kill(processes_of(worker_of(machine, head)))


def _worker_pod_goes(machine: Machine, head: dict[str, Any]) -> None:
    _delete(machine, worker_of(machine, head))


def _head_dies(machine: Machine, head: dict[str, Any]) -> None:
    _kill(processes_of(head))


def _head_pod_goes(machine: Machine, head: dict[str, Any]) -> None:
    _delete(machine, head)


DEATHS: Mapping[str, Death] = {
    "an actor": _actor_dies,
    "a raylet": _raylet_dies,
    "a worker": _worker_dies,
    "a worker pod": _worker_pod_goes,
    "a head": _head_dies,
    "a head pod": _head_pod_goes,
}
# What dies first must leave something for the other.
PAIRS = (("an actor", "a worker"), ("an actor", "a worker pod"), ("a raylet", "a head"), ("a worker", "a head pod"))


def rounds_of(seed: int, count: int) -> list[tuple[str, ...]]:
    """Return what dies in each round: every death once before any comes again, every third time two."""
    chance = random.Random(seed)  # noqa: S311 - a test's order is no secret
    singles: list[tuple[str, ...]] = []
    made: list[tuple[str, ...]] = []
    for number in range(count):
        singles = singles or chance.sample([(name,) for name in DEATHS], len(DEATHS))
        made.append(chance.choice(PAIRS) if number % 3 == 2 else singles.pop())
    return made


def test_whatever_dies_the_replica_serves_again_and_the_other_serves_on(fleet: Machine) -> None:
    chance = random.Random(SEED)  # noqa: S311 - as above
    with told(fleet), asking(fleet, retries=2) as client, most_clusters(fleet) as most:
        for number, names in enumerate(rounds_of(SEED, ROUNDS)):
            head = chance.choice(sorted(head_pods(fleet), key=lambda pod: str(pod["metadata"]["name"])))
            what = f"round {number} of RAYFLEET_SEED={SEED} (RAYFLEET_ROUNDS={ROUNDS}): {' and '.join(names)} died"
            _hurt(fleet, head, names, chance)
            began = time.monotonic()
            noticed = partial(_is_unready, str(head["status"]["podIP"]))
            wait_until(noticed, f"{what}: it is noticed", NOTICED_SECONDS)
            wait_until(lambda: _is_whole(fleet), f"{what}: the replica serves again", BACK_SECONDS, every=LOOK_SECONDS)
            print(f"{what}; whole after {time.monotonic() - began:.1f} s")  # noqa: T201 - shown when a round fails
    assert max(most) <= REPLICAS, f"RAYFLEET_SEED={SEED}: more Ray clusters at once than replicas"
    assert client.answers > ROUNDS
    assert client.failures == [], f"RAYFLEET_SEED={SEED}"


def _hurt(machine: Machine, head: dict[str, Any], names: tuple[str, ...], chance: random.Random) -> None:
    for index, name in enumerate(names):
        if index:
            time.sleep(chance.random())  # within a second: that is the case
        DEATHS[name](machine, head)


def _is_whole(machine: Machine) -> bool:
    """Whether every replica is ready, in the Service and by its own sidecar's word of this moment."""
    heads = head_pods(machine)
    addresses = {str(head["status"].get("podIP")) for head in heads}
    return (
        len(heads) == REPLICAS
        and ready_replicas(machine) == REPLICAS
        and ready_endpoints(machine) == addresses
        and all(_is_ready(address) for address in addresses)
    )


def _is_unready(address: str) -> bool:
    return not _is_ready(address)


def _is_ready(address: str) -> bool:
    return asked(f"http://{address}:{SIDECAR_PORT}/ready")[0] == 200


@contextlib.contextmanager
def most_clusters(machine: Machine) -> Iterator[list[int]]:
    """Yield how many Ray clusters have had a head at once, by a watch of all head pods, the terminating included."""
    command = [str(ensure_kubectl(default_cache())), "get", "pods", "-l", HEADS, "-w", "-o", "json"]
    environment = {**os.environ, "KUBECONFIG": str(machine.root / "kubeconfig")}
    seen: list[int] = []
    with subprocess.Popen(
        [*command, "--output-watch-events"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        reader = threading.Thread(target=_count_clusters, args=(process, seen))
        reader.start()
        try:
            wait_until(lambda: seen, "the watch shows the heads", 20)
            yield seen
        finally:
            process.terminate()
            reader.join(timeout=20)


def _count_clusters(process: "subprocess.Popen[str]", seen: list[int]) -> None:
    assert process.stdout is not None
    decoder, text, heads = json.JSONDecoder(), "", dict[str, str]()
    for line in process.stdout:
        text += line
        with contextlib.suppress(ValueError):
            event, _ = decoder.raw_decode(text)
            text, meta = "", event["object"]["metadata"]
            heads[meta["uid"]] = meta["labels"][CLUSTER]
            if event["type"] == "DELETED":
                del heads[meta["uid"]]
            seen.append(len(set(heads.values())))


def _delete(machine: Machine, pod: dict[str, Any]) -> None:
    machine.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force", "--wait=false")


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
