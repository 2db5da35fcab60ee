"""Two Ray nodes on addresses of their own, started as KubeRay starts them, and what runs of them."""

from collections.abc import Mapping
from pathlib import Path

from rayfleet.local.proc import process_ids

HEAD, WORKER = "127.78.31.1", "127.78.31.2"
GCS_PORT = 24379


def ray_start(address: str, temp: str, parameters: Mapping[str, str]) -> str:
    """As KubeRay generates it, with ports for one machine: Ray's defaults clash, and some bind every address."""
    first = GCS_PORT + (1 if address == HEAD else 11)
    role = f"--head --port={GCS_PORT} --temp-dir={temp} --include-dashboard=false"
    ports = {
        "node-manager-port": first,
        "object-manager-port": first + 1,
        "dashboard-agent-listen-port": first + 2,
        "dashboard-agent-grpc-port": first + 3,
        "runtime-env-agent-port": first + 4,
        "metrics-export-port": first + 5,
        "min-worker-port": first + 40 + (0 if address == HEAD else 50),
        "max-worker-port": first + 79 + (0 if address == HEAD else 50),
        "object-store-memory": 80_000_000,
        "num-cpus": 1,
        "node-ip-address": address,
        **parameters,
    }
    flags = " ".join(f"--{name}={value}" for name, value in ports.items())
    return (
        f"ray start {role if address == HEAD else f'--address={HEAD}:{GCS_PORT}'} {flags} --disable-usage-stats --block"
    )


def processes_of(mark: str) -> list[tuple[int, str]]:
    """Return (pid, command line) of the processes that name ``mark``."""
    found = []
    for pid in process_ids():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in line:
            found.append((pid, line))
    return found


def raylets_of(address: str, mark: str) -> list[int]:
    """Return the raylets of the node with that address that name ``mark``."""
    own = f"--node_ip_address={address} "
    return [pid for pid, line in processes_of(mark) if "raylet/raylet " in line and own in line]
