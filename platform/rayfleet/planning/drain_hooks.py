"""The preStop hooks by which a replica that is to go finishes its requests first. Pure.

A RayCluster's deletion, a node's drain and an eviction signal the pods of a replica together, or one worker alone; the
hooks hold for all of these:

- The head goes on serving for a moment (the *lame duck*): its endpoint leaves the Service as soon as it is deleted, and
  gateways need some time to see that. Then it waits until no request is in flight, and only then gets SIGTERM.
- A worker waits likewise, for the requests of its head. Where the worker alone is to go, the controller takes the head
  out of the Service, so that its requests come to an end.

Both ask the head's sidecar, which serves until the engine has ended. They end when it counts no request, at two
questions in a row (an engine takes a moment to count a request that has just come); when it cannot tell for three times
in a row, since a request that nobody answers is not worth waiting for; and at the limit. Stock images have no curl:
bash and coreutils do.
"""

from collections.abc import Mapping
from types import MappingProxyType

from rayfleet.model.json import Json
from rayfleet.model.ports import SIDECAR_PORT

LAME_DUCK_SECONDS = 2
# What a pod has besides its drain: the lame duck, the engine's own drain and end after SIGTERM, and Ray's end.
ENDING_SECONDS = 60

_HOSTS: Mapping[str, str] = MappingProxyType({"head": "$POD_IP", "worker": "$FQ_RAY_IP"})
_LAME_DUCK = f"sleep {LAME_DUCK_SECONDS}\n"
_WAIT = r"""ask='exec 3<>"/dev/tcp/$0/$1" && printf "GET /inflight HTTP/1.0\r\n\r\n" >&3 && cat <&3'
until=$((SECONDS + @limit@)) idle=0 unknown=0
while [ "$SECONDS" -lt "$until" ] && [ "$idle" -lt 2 ] && [ "$unknown" -lt 3 ]; do
  answer=$(timeout 2 bash -c "$ask" "@host@" @port@ 2>/dev/null)
  if [[ $answer =~ \"in_flight\":\ ([0-9]+) ]]; then
    unknown=0
    if [ "${BASH_REMATCH[1]}" = 0 ]; then idle=$((idle + 1)); else idle=0; fi
  else
    idle=0 unknown=$((unknown + 1))
  fi
  sleep 0.3
done
"""


def head_hook(drain_seconds: int) -> Json:
    """Return the lifecycle of a head's Ray container; ``drain_seconds`` 0: only the lame duck."""
    return _lifecycle("head", drain_seconds)


def worker_hook(drain_seconds: int) -> Json:
    """Return the lifecycle of a worker's Ray container; ``drain_seconds`` 0: only the lame duck."""
    return _lifecycle("worker", drain_seconds)


def grace_seconds(drain_seconds: int) -> int:
    """Return the pod's grace: the hook's limit and what comes after it."""
    return drain_seconds + ENDING_SECONDS


def _lifecycle(role: str, drain_seconds: int) -> Json:
    wait = _WAIT.replace("@limit@", str(drain_seconds)).replace("@host@", _HOSTS[role])
    script = _LAME_DUCK + (wait.replace("@port@", str(SIDECAR_PORT)) if drain_seconds else "")
    return {"preStop": {"exec": {"command": ["/bin/bash", "-c", script]}}}
