"""Rounds of random deaths: whatever dies of a replica, it serves again within a minute, and the other one serves on.

RAYFLEET_ROUNDS says how many rounds (30 is the long form), RAYFLEET_SEED repeats a run: each failure names its seed.
Processes die by SIGKILL, which nobody announces; pods are deleted without grace.
"""

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    watched,
    worker_of,
)

from rayfleet.model.ports import ENGINE_PORT, SIDECAR_PORT
from rayfleet.objects.labels import INDEX_LABEL
from rayfleet.testing.machine import Machine
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
    took: list[float] = []
    with (
        told(fleet),
        asking(fleet, retries=2) as client,
        watched(fleet, "pods", "-l", HEADS) as heads,
        watched(fleet, "rayclusters") as clusters,
    ):
        for number, names in enumerate(rounds_of(SEED, ROUNDS)):
            head = chance.choice(sorted(head_pods(fleet), key=lambda pod: str(pod["metadata"]["name"])))
            what = f"round {number} of RAYFLEET_SEED={SEED} (RAYFLEET_ROUNDS={ROUNDS}): {' and '.join(names)} died"
            _hurt(fleet, head, names, chance)
            began = time.monotonic()
            noticed = partial(_is_unready, str(head["status"]["podIP"]))
            wait_until(noticed, f"{what}: it is noticed", NOTICED_SECONDS)
            wait_until(lambda: _is_whole(fleet), f"{what}: the replica serves again", BACK_SECONDS, every=LOOK_SECONDS)
            took.append(time.monotonic() - began)
            print(f"{what}; whole after {took[-1]:.1f} s")  # noqa: T201 - shown when a round fails
        wait_until(lambda: counted(fleet) == rebuilt(clusters), f"RAYFLEET_SEED={SEED}: every rebuild is counted", 20)
    print(f"{ROUNDS} rounds, the longest {max(took):.1f} s, {len(rebuilt(clusters))} rebuilds")  # noqa: T201 - as above
    assert most_clusters(heads) <= REPLICAS, f"RAYFLEET_SEED={SEED}: more Ray clusters at once than replicas"
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


def most_clusters(events: Sequence[dict[str, Any]]) -> int:
    """Return how many Ray clusters had a head pod at once, the terminating included."""
    heads: dict[str, str] = {}
    most = 0
    for event in events:
        meta = event["object"]["metadata"]
        heads[meta["uid"]] = meta["labels"][CLUSTER]
        if event["type"] == "DELETED":
            del heads[meta["uid"]]
        most = max(most, len(set(heads.values())))
    return most


def rebuilt(events: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return the Ray clusters that another one followed in their place, as the watch saw them: place and name."""
    gone = [event["object"]["metadata"] for event in events if event["type"] == "DELETED"]
    return sorted((int(meta["labels"][INDEX_LABEL]), str(meta["name"])) for meta in gone)


def counted(machine: Machine) -> list[tuple[int, str]]:
    """Return the rebuilds that the replica set has counted against its budget: place and name."""
    (replica_set,) = machine.get("rcrs")["items"]
    return sorted((each["index"], each["name"]) for each in replica_set["status"].get("rebuilds", ()))


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
