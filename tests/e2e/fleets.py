"""A fleet of the quickstart on a cluster of its own, and what tests look at: endpoints, pods, replicas."""

import contextlib
import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from rayfleet.local.node.processes import marked_processes
from rayfleet.model.json import Json
from rayfleet.model.ports import SIDECAR_PORT
from rayfleet.objects.labels import FLEET_LABEL, SERVICE_NAME_LABEL
from rayfleet.testing.machine import Machine
from rayfleet.testing.realkube import default_cache, ensure_kubectl
from rayfleet.testing.waiting import wait_until

MANIFEST = Path(__file__).parents[2] / "examples" / "01-quickstart" / "fleet.yaml"
FLEET = "rcf/smollm2"
HEADS = "ray.io/node-type=head"
CLUSTER = "ray.io/cluster"
LOOK_SECONDS = 1.0  # a look is a kubectl or three: as much work as a replica that starts


@contextlib.contextmanager
def serving_fleet(state_home: Path, name: str, **spec: Any) -> Iterator[Machine]:
    """Have the quickstart's fleet with these fields of its spec ready on a cluster; nothing is left of it."""
    manifest = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    serving = {**manifest["spec"]["serving"], **spec.pop("serving", {})}
    manifest["spec"] |= {**spec, "serving": serving}
    with served(state_home, name, manifest) as machine:
        yield machine


@contextlib.contextmanager
def served(state_home: Path, name: str, manifest: Json) -> Iterator[Machine]:
    """Have a fleet ready on a cluster of its own; nothing is left of it."""
    path = state_home / "fleet.yaml"
    path.write_text(yaml.safe_dump(manifest), encoding="utf-8")
    machine = Machine(state_home=state_home, name=name)
    try:
        done = machine.rayfleet("up", "--detach", "-f", str(path), "--gateway-port", "0", limit=300)
        assert done.returncode == 0, done.stderr
        wait_until(
            lambda: ready_replicas(machine) == manifest["spec"]["replicas"],
            "every replica is ready",
            120,
            every=LOOK_SECONDS,
        )
        yield machine
    finally:
        machine.rayfleet("down")
        assert machine.leftovers() == {"processes": [], "slots": [], "notes": []}


def ready_replicas(machine: Machine) -> int:
    return int(machine.get(FLEET).get("status", {}).get("availableReplicas") or 0)


def ready_endpoints(machine: Machine) -> set[str]:
    slices = machine.get("endpointslices", "-l", slices_of(machine))["items"]
    return {address for each in slices for address in ready_addresses(each)}


def slices_of(machine: Machine) -> str:
    """Return the selector of the EndpointSlices of the fleet's Service."""
    (service,) = machine.get("services", "-l", f"{FLEET_LABEL}=smollm2")["items"]
    return f"{SERVICE_NAME_LABEL}={service['metadata']['name']}"


def ready_addresses(endpoint_slice: dict[str, Any]) -> set[str]:
    return {
        address
        for endpoint in endpoint_slice.get("endpoints") or ()
        if endpoint["conditions"]["ready"]
        for address in endpoint["addresses"]
    }


@contextlib.contextmanager
def watched(machine: Machine, *words: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the events of a watch as they come: what was there when it began, then every change.

    Each has ``at``, when it came by the monotonic clock.
    """
    command = [str(ensure_kubectl(default_cache())), "get", *words, "-w", "-o", "json", "--output-watch-events"]
    environment = {**os.environ, "KUBECONFIG": str(machine.root / "kubeconfig")}
    events: list[dict[str, Any]] = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        reader = threading.Thread(target=_read_events, args=(process, events))
        reader.start()
        try:
            wait_until(lambda: events, f"a watch of {words[0]} shows what is there", 20)
            yield events
        finally:
            process.terminate()
            reader.join(timeout=20)


def head_pods(machine: Machine) -> list[dict[str, Any]]:
    return [pod for pod in machine.get("pods", "-l", HEADS)["items"] if "deletionTimestamp" not in pod["metadata"]]


def worker_of(machine: Machine, head: dict[str, Any]) -> dict[str, Any]:
    """Return the one worker of a head's Ray cluster."""
    selector = f"{CLUSTER}={head['metadata']['labels'][CLUSTER]},ray.io/node-type=worker"
    (worker,) = machine.get("pods", "-l", selector)["items"]
    return dict(worker)


def processes_of(pod: dict[str, Any]) -> list[int]:
    """Return the processes of all its containers."""
    uid = pod["metadata"]["uid"]
    return [pid for container in pod["spec"]["containers"] for pid in marked_processes(f"{uid}/{container['name']}")]


def asked(url: str) -> tuple[int, str]:
    """Return status and body of a pod's own page; 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own pods on loopback
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@contextlib.contextmanager
def told(machine: Machine) -> Iterator[None]:
    """Add to a failure what the fleet looks like then: pods, the sidecars' words, the Ray containers' logs."""
    try:
        yield
    except AssertionError as error:
        error.add_note(_story(machine))
        raise


def _read_events(process: "subprocess.Popen[str]", events: list[dict[str, Any]]) -> None:
    assert process.stdout is not None
    decoder, text = json.JSONDecoder(), ""
    for line in process.stdout:
        text += line
        with contextlib.suppress(ValueError):  # it goes on
            events.append({**decoder.decode(text), "at": time.monotonic()})
            text = ""


def _story(machine: Machine) -> str:
    pods = [machine.kubectl("get", "rcf,rcrs,raycluster,pods", "-o", "wide"), *map(_ready_word, head_pods(machine))]
    # The newest last: of a long output the end is what people see first, and what is cut last.
    return "\n".join((*pods, *(told for _, told in sorted(_logs(machine)))))


def _logs(machine: Machine) -> Iterator[tuple[float, str]]:
    """Yield when each Ray container's log was last written to, and its end."""
    for log in (machine.root / "pods").glob("*/ray-*/*.log"):
        with contextlib.suppress(FileNotFoundError):  # its pod went meanwhile
            yield log.stat().st_mtime, f"--- {log.parent.parent.name[:60]}/{log.name}\n{_end(log)}"


def _ready_word(head: dict[str, Any]) -> str:
    address = head["status"].get("podIP")
    return f"{head['metadata']['name']}: {asked(f'http://{address}:{SIDECAR_PORT}/ready')}"


def _end(log: Path) -> str:
    lines = [line[:140] for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    told = [line for line in lines[:-3] if " rayfleet" in line or line.startswith("rayfleet:")]
    return "\n".join((*told[-4:], *lines[-3:]))
