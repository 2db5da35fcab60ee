"""What the supervisor writes down, so that a later one can find what an earlier one left."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rayfleet.local.proc import ProcessIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """One supervised process; ``restarts`` counts unexpected ends, ``last_exit`` is the newest of them."""

    identity: ProcessIdentity
    restarts: int = 0
    last_exit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The supervisor itself, its processes by name, and the ports people were told."""

    supervisor: ProcessIdentity
    api_port: int
    gateway_host: str
    gateway_port: int
    gateway_admin_port: int
    processes: Mapping[str, ProcessRecord] = field(default_factory=dict)

    @property
    def gateway_url(self) -> str:
        """Where requests go."""
        return f"http://{self.gateway_host}:{self.gateway_port}"

    @property
    def gateway_admin_url(self) -> str:
        """Where the gateway's operators ask: metrics and probes."""
        return f"http://{self.gateway_host}:{self.gateway_admin_port}"


def write_record(path: Path, record: Record) -> None:
    """Replace the record in one step: a reader sees the old one or the new one, never half."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
    temporary.replace(path)


def read_record(path: Path) -> Record | None:
    """Return the record, None when there is none (or one that this version cannot read)."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Record(
            supervisor=ProcessIdentity(**raw["supervisor"]),
            api_port=raw["api_port"],
            gateway_host=raw["gateway_host"],
            gateway_port=raw["gateway_port"],
            gateway_admin_port=raw["gateway_admin_port"],
            processes={
                name: ProcessRecord(
                    identity=ProcessIdentity(**entry["identity"]),
                    restarts=entry["restarts"],
                    last_exit=entry["last_exit"],
                )
                for name, entry in raw["processes"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
