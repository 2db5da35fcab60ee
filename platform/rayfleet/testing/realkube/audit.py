"""What a real API server was asked, and by whom: its own audit log, read as rules of a Role.

Only requests for resources are here: discovery and health pages are everybody's. What admission asks the authorizer
beside a request (may the owner be blocked?) is in no audit log. Source: Kubernetes, "Auditing" (audit.k8s.io/v1).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayfleet.model.json import Json
from rayfleet.testing.installed_roles import Access
from rayfleet.testing.realkube.credentials import write_private

_POLICY: Json = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
}
_FORBIDDEN = "forbid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What one user asked for: what was allowed, and what was not."""

    allowed: frozenset[Access]
    refused: frozenset[Access]


class AuditLog:
    """The log of the server that is started with ``flags``: all that service accounts ask for."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "audit.log"
        self._policy = folder / "audit-policy.json"
        self._start = 0
        write_private(self._policy, json.dumps(_POLICY))

    @property
    def flags(self) -> Sequence[str]:
        """What the server's command line must say; a request is answered once it is in the log."""
        return (
            f"--audit-policy-file={self._policy}",
            f"--audit-log-path={self._file}",
            "--audit-log-mode=blocking",
        )

    def begin(self) -> None:
        """Leave out what was asked for till now."""
        self._start = self._file.stat().st_size

    def of_account(self, namespace: str, name: str) -> Audited:
        """Return what a service account asked for since ``begin``."""
        user = f"system:serviceaccount:{namespace}:{name}"
        allowed: set[Access] = set()
        refused: set[Access] = set()
        for entry in self._entries():
            if entry["user"]["username"] == user and "objectRef" in entry:
                decision = entry.get("annotations", {}).get("authorization.k8s.io/decision")
                (refused if decision == _FORBIDDEN else allowed).add(_access(entry))
        return Audited(allowed=frozenset(allowed), refused=frozenset(refused))

    def _entries(self) -> Iterator[Any]:
        with self._file.open(encoding="utf-8") as lines:
            lines.seek(self._start)
            yield from (json.loads(line) for line in lines if line.endswith("\n"))


def _access(entry: Any) -> Access:
    about = entry["objectRef"]
    parts = [about.get("resource", ""), about.get("subresource", "")]
    return Access(about.get("apiGroup", ""), "/".join(part for part in parts if part), entry["verb"])
