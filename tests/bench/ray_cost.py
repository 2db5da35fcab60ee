"""What Ray costs a replica: the same model over two nodes of real vLLM, by Ray (example 02) and without (example 03).

Of each the seconds from its Ray cluster's creation until its head is ready, the stage in them that waits for Ray's
nodes, and what its containers hold in memory once it has answered: proportional set sizes, so that a page that several
processes share is counted once. The sidecar is left out: it is the same beside both.
"""

import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.e2e.fleets import asked, processes_of
from tests.engines.replicas import WITH_RAY, WITHOUT_RAY, Replica, answers, command_line, is_shell, served_replica

from rayfleet.model.ports import SIDECAR_PORT
from rayfleet.objects.conditions import changed_at
from rayfleet.objects.times import decode_time

# Words in the command lines of what `ray start` leaves running and of idle workers; a rank is ray::RayWorkerProc.
_DAEMONS = (
    *("/gcs_server", "/raylet/raylet", "/ray/dashboard/", "/ray/_private/", "/ray/autoscaler/"),
    *("ray.util.client", "ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent", "bin/ray start"),
)
_SIDECAR = "rayfleet-sidecar"
_NODES = (0, 1)


@dataclass(slots=True)
class Figures:
    """Of one plan, by turns."""

    plan: str
    seconds: list[float] = field(default_factory=list)
    joining: list[float] = field(default_factory=list)
    ray_mib: list[float] = field(default_factory=list)
    engine_mib: list[float] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)

    def rendered(self) -> str:
        """Return a row: medians."""
        ray, engine = statistics.median(self.ray_mib), statistics.median(self.engine_mib)
        joining = f"{statistics.median(self.joining):.1f}" if self.joining else "-"
        cells = f"{statistics.median(self.seconds):.0f}", joining, f"{ray:.0f}", f"{engine:.0f}", f"{ray + engine:.0f}"
        return f"| {self.plan} | {' | '.join(cells)} | {statistics.median(self.processes):.0f} |"


def main(turns: int) -> None:
    """Measure in turns, and write the table."""
    plans = {WITH_RAY: Figures("by Ray"), WITHOUT_RAY: Figures("by mp")}
    for _ in range(turns):
        for example, figures in plans.items():
            with (
                tempfile.TemporaryDirectory(prefix="rf-cost-", ignore_cleanup_errors=True) as folder,
                served_replica(Path(folder), example) as replica,
            ):
                assert answers(replica)
                _note(replica, figures)
    sys.stdout.write(
        f"| vLLM over two nodes, medians of {turns} turns | ready after s | of which Ray's nodes join | MiB of Ray | "
        f"MiB of the engine | MiB of both | processes |\n|{' --- |' * 7}\n"
    )
    sys.stdout.write("".join(f"{figures.rendered()}\n" for figures in plans.values()))


def _note(replica: Replica, figures: Figures) -> None:
    head = replica.head()
    figures.seconds.append((_time_of_readiness(head) - _creation(replica)).total_seconds())
    _, text = asked(f"http://{head['status']['podIP']}:{SIDECAR_PORT}/status")
    figures.joining += [each["seconds"] for each in json.loads(text)["stages"] if each["name"] == "RayNodes"]
    lines = {pid: command_line(pid) for rank in _NODES for pid in processes_of(replica.pod(rank))}
    counted = {pid: line for pid, line in lines.items() if line and _SIDECAR not in line}
    ray = {pid for pid, line in counted.items() if not is_shell(line) and any(word in line for word in _DAEMONS)}
    figures.ray_mib.append(sum(map(_proportional_mib, ray)))
    figures.engine_mib.append(sum(map(_proportional_mib, counted.keys() - ray)))
    figures.processes.append(len(counted))


def _time_of_readiness(head: dict[str, Any]) -> datetime:
    at = changed_at(head, "Ready")
    assert at is not None, head["status"]
    return at


def _creation(replica: Replica) -> datetime:
    (cluster,) = replica.machine.get("rayclusters")["items"]
    at = decode_time(cluster["metadata"]["creationTimestamp"])
    assert at is not None, cluster["metadata"]
    return at


def _proportional_mib(pid: int) -> float:
    """Return what a process holds; 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
