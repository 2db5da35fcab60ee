"""The bash texts that start the nodes of a replica, the same for every engine. Pure.

An engine gives its command, its limits and its environment (:class:`Frame`). What is hard to get right is here:

- The head runs Ray, the engine's companions and the engine. The end of any of them ends the rest and the script, so
  that the container is started anew. With the engine's own status when it was the engine; an engine that ends well
  without being asked to has failed.
- SIGTERM goes to the head's engine alone, which may drain; what does not end in time is killed with all that descends
  from it. Only then Ray is ended: SIGTERM, 3 s, SIGKILL (Ray drains for up to 30 s, for nothing: the engine is gone).
- A worker brings the model, if it has to be brought, then runs Ray and watches its head's port for its whole life:
  ``ray start --address`` to a dead head tries for ever, and a raylet that lost its head lingers for a minute. Gone for
  the limit, the script ends, and the container's restart finds the head's new address. It ends at once with a part of
  the engine that has ended there: vLLM 0.32.0 with requests running waits for the answer of a dead rank for ever.
- Without Ray every node is started as a head is, less Ray (``rayfleet.plugin.rank_frame`` says who has which rank).
- A process of the container that a signal stopped is killed after some seconds: frozen it would go unseen, its end is
  noticed. Its stack goes to the log before, where the image has py-spy.
- SIGTERM is heard at every step, no step waits without a limit, and a script that was asked to end ends with 0.

The texts run as the first process of a container, where a signal without a trap is not heard at all, in stock images:
bash 5, coreutils, sed. Nothing in them is Kubernetes' to replace (``$$``, ``$(NAME)``), and no line of prose speaks of
Ray's own commands, which the node of a single machine rewrites. Tried with Ray 2.60.0.
"""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from rayfleet.model.engine import NodeLaunch

RAY_VERSION = "2.60.0"

# After its drain an engine ends within this time, or hangs.
END_SECONDS = 10
HEAD_SECONDS = 60

# A head service that starts anew knows nothing of its former nodes, so their raylets must end for new ones to join. Ray
# lets 60 s pass in both cases: the head stays away, and another one answers in its place.
#
# Ray's start command gives a raylet 30 s to join (node.py; but one look for it takes as long as the variable says),
# ends all that it has started, and fails. A machine too busy for that has the same work again after a pause, longer
# each time. A raylet itself ends when its agent has not started within 15 s.
_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
        "RAY_raylet_liveness_self_check_interval_ms": "3000",
        "RAY_raylet_start_wait_time_s": "120",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What an engine gives to its scripts; commands are shell text, with every foreign word quoted.

    ``command`` is the engine on the head, one command that becomes its process. ``before`` are lines that run first in
    that process; each that may fail says ``|| exit 1``. ``companions`` run beside Ray on the head, by what a person
    calls them (``observer of Ray's nodes``). ``beside_worker`` runs beside Ray on a worker; each ends with the other.
    ``definitions`` are assignments for all of these.
    ``bring`` is a command that brings the model to a node and prints where it is: every worker runs it before it joins,
    and the head before the engine, whose ``command`` and ``before`` find what it printed in ``$model``.
    ``part`` is how the names of processes begin (as in ``comm``) of which none ends before the engine, empty for none;
    on Ray those are its actors that hold a rank, on workers too.
    ``programs`` have to be in the image, besides ``ray`` where it is used; ``way_out`` tells what to do about an image
    that lacks one. ``drain_seconds`` is how long the engine may go on after SIGTERM, ``head_seconds`` how long a worker
    bears the closed port of its head; both whole or fractions of seconds.
    """

    command: str
    programs: tuple[str, ...]
    way_out: str
    before: str = ""
    companions: Mapping[str, str] = field(default_factory=dict)
    beside_worker: str = ""
    part: str = ""
    definitions: str = ""
    bring: str = ""
    drain_seconds: float = 0
    head_seconds: int = HEAD_SECONDS
    environment: Mapping[str, str] = field(default_factory=dict)


def head_launch(frame: Frame, ray_start_params: Mapping[str, str]) -> NodeLaunch:
    """Return how the head is started; ``ray_start_params`` as in NodeLaunch."""
    return NodeLaunch(
        script=_head_script(frame),
        environment={**_ENVIRONMENT, **frame.environment},
        ray_start_params=ray_start_params,
    )


def worker_launch(frame: Frame, ray_start_params: Mapping[str, str]) -> NodeLaunch:
    """Return how a worker is started; ``ray_start_params`` as in NodeLaunch."""
    return NodeLaunch(
        script=_worker_script(frame),
        environment={**_ENVIRONMENT, **frame.environment},
        ray_start_params=ray_start_params,
    )


def alone_launch(frame: Frame) -> NodeLaunch:
    """Return how a node that runs the engine without Ray is started."""
    return NodeLaunch(script=_alone_script(frame), environment=frame.environment)


# Bash 5.2 cannot wait for one of several processes without missing some: `wait -n` passes over a job that ended before
# another was started, a signal in the moment before it waits is not heard until it has waited, and a wait after one
# that a signal ended may never return (all three seen under load). So the scripts look ten times a second, at a cost of
# 0.2% of a core. `rest` is a pause that needs no process.
#
# A process that a signal stopped (SIGSTOP) takes no step, and whoever looks for it finds it alive: Ray, vLLM's monitor,
# its connections. `look` kills one that it sees stopped twice, two seconds apart; the engine or Ray notice that within
# a second. A debugger stops in another way (state t). Pods that share a machine see hundreds of processes: most
# are passed over by their text alone. Who descends from this script is asked of the few, and one that `kubectl exec`
# brought here does not. An engine takes seconds to end after one of its parts (a rank of vLLM 0.32.0 that has no API:
# three), so that is not waited for; a part may be a zombie by then. What a part forks has its name until it is another
# program, and is none.
#
# Ray's start command waits for a raylet that has ended as for one that is slow. Once it has joined its end is seen in a
# second, so one that is a zombie at two looks most likely never did.
#
# `trees` prints living processes and all that descend from them. Orphans of one that died are not found any more: hence
# `family`, which is what descended from those that were told to end, as it was then.
_START = r"""set -u
say() { echo "rayfleet: $*" >&2; }
for program in $programs; do
  command -v "$program" >/dev/null && continue
  say "this image has no '$program'. $way_out"
  exit 1
done
stop=0
trap 'stop=1' TERM INT
exec {idle}<> <(:)
rest() { IFS= read -r -t 0.1 -u "$idle" _; }
lives() { kill -0 "$1" 2>/dev/null; }
all_live() {
  local process
  for process in "$@"; do lives "$process" || return 1; done
}
none_lives() {
  local process
  for process in "$@"; do lives "$process" && return 1; done
  return 0
}
tree() {
  local child
  echo "$1"
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do tree "$child"; done
}
trees() {
  local process
  for process in "$@"; do lives "$process" && tree "$process"; done
}
start_timer() {
  sleep "$1" &
  timer=$!
  disown "$timer" 2>/dev/null
}
descends() {
  local process=$1 line
  while [ "$process" -gt 0 ]; do
    [ "$process" != "$BASHPID" ] || return 0
    { read -r line <"/proc/$process/stat"; } 2>/dev/null || return 1
    line=${line##*) }
    line=${line#? }
    process=${line%% *}
  done
  return 1
}
is_part() {
  local own=${1#*\(} parent=${1##*) } line
  [[ -n $part && $own = "$part"* ]] || return 1
  parent=${parent#? }
  { read -r line <"/proc/${parent%% *}/stat"; } 2>/dev/null || return 1
  line=${line#*\(}
  [ "${line%)*}" != "${own%)*}" ]
}
looked=$SECONDS
stopped=" "
parts=
look() {
  [ $((SECONDS - looked)) -ge 2 ] || return 0
  looked=$SECONDS
  local file line process still=" "
  parts=
  for file in /proc/[0-9]*/stat; do
    { read -r line <"$file"; } 2>/dev/null || continue
    [[ -n $part && $line = *"($part"* || $line = *") T "* || -n $ray && $line = *"(raylet) Z "* ]] || continue
    process=${line%% *}
    ! is_part "$line" || ! descends "$process" || parts="$parts $process"
    [[ -n $ray && $line = *"(raylet) Z "* || ${line##*) } = T* ]] && descends "$process" || continue
    still="$still$process "
    [[ $stopped = *" $process "* ]] || continue
    if [[ ${line##*) } = Z* ]]; then end_ray; else end_stopped "$process" "$line"; fi
  done
  stopped=$still
}
end_stopped() {
  local name=${2#*\(}
  say "process $1 (${name%)*}) stands still: a signal stopped it; killing it"
  command -v py-spy >/dev/null && timeout 5 py-spy dump --nonblocking --pid "$1" >&2
  kill -KILL "$1" 2>/dev/null
}
end_ray() {
  say "Ray's raylet ended; ending the rest of Ray"
  kill -KILL $(trees "$ray") 2>/dev/null
}
are_parts_alive() {
  local process line
  for process in $parts; do
    { read -r line <"/proc/$process/stat"; } 2>/dev/null && [[ ${line##*) } != Z* ]] && continue
    say "process $process, a part of the engine, ended; ending the rest"
    return 1
  done
}
family=
finish() {
  family="$family $(trees "$@")"
  kill -TERM "$@" 2>/dev/null
  start_timer 3
  until none_lives "$@" || ! lives "$timer"; do rest; done
  kill -KILL "$timer" $family $(trees "$@") 2>/dev/null
}
"""

# A head that is started again on a machine where its former workers still run is refused by Ray ("already running") as
# long as the file of its former life names the same address.
_RAY_ON_HEAD = r"""temp=$(sed -n 's/.*--temp-dir[= ]\([^ ]*\).*/\1/p' <<<"$KUBERAY_GEN_RAY_START_CMD")
[ -z "$temp" ] || rm -f "$temp/ray_current_cluster"
eval "exec $KUBERAY_GEN_RAY_START_CMD" &
ray=$!
"""
# KubeRay's init container takes a function of this name from the environment; here it would hide what is in the image.
_NO_RAY = "ray=\nunset -f ray\n"

# - An engine may hang for ever after SIGTERM, as vLLM 0.32.0 with a stream open ("Waiting for connections to close"):
#   hence the timer.
# - One that lost a part of itself (Ray, a rank) has nothing to finish: vLLM would answer that it is well for seconds
#   after SIGTERM, and requests would come. So it is killed where nobody asked it to end.
# - One that was asked to end may lose its ranks, and what runs beside with them, before it has told clients the last of
#   their answers: it is waited for all the same.
# - A process that was forked this very moment may lose a SIGTERM. As long as the engine is this script yet, it has
#   nothing to finish either: SIGKILL.
_ENGINE = r"""is_this_script() {
  local its own
  mapfile -d '' -t its 2>/dev/null </proc/"$1"/cmdline
  mapfile -d '' -t own </proc/self/cmdline
  [ "${its[*]}" = "${own[*]}" ]
}
end_engine() {
  family=$(trees "$engine")
  if is_this_script "$engine"; then kill -KILL $family; else kill -TERM "$engine"; fi 2>/dev/null
  start_timer "$end_limit"
}
beside=()
for index in "${!companions[@]}"; do
  "companion_$index" &
  beside+=("$!")
done
serve &
engine=$!
timer=
is_whole() { [ "$stop" = 1 ] || { all_live "${beside[@]}" && are_parts_alive; }; }
while all_live $ray "$engine" $timer && is_whole; do
  [ "$stop" = 0 ] || [ -n "$timer" ] || end_engine
  look
  rest
done
status=1
all_live $timer || { say "the engine did not end within $end_limit s; killing it"; kill -KILL $(trees "$engine"); }
lives "$engine" || { wait "$engine"; status=$?; say "the engine ended ($status)"; }
for index in "${!companions[@]}"; do
  [ "$stop" = 1 ] || lives "${beside[$index]}" || say "the ${companions[$index]} ended; ending the engine"
done
all_live $ray || { say "Ray ended; ending the engine"; status=1; }
[ "$stop" = 1 ] || kill -KILL $(trees "$engine") 2>/dev/null
finish $ray "$engine" "${beside[@]}" $timer
[ "$stop" = 0 ] || exit 0
[ "$status" != 0 ] || status=1
exit "$status"
"""

# The model has to be there before the node joins: the head starts its engine when all nodes have.
_BRINGING = r"""bring >/dev/null &
bringing=$!
while lives "$bringing" && [ "$stop" = 0 ]; do rest; done
[ "$stop" = 0 ] || { finish "$bringing"; exit 0; }
wait "$bringing" || { say "the model could not be brought here"; exit 1; }
"""

_WORKER = r"""head=${RAY_ADDRESS%:*} port=${RAY_ADDRESS##*:}
eval "exec $KUBERAY_GEN_RAY_START_CMD" &
ray=$!
beside=
if declare -F beside >/dev/null; then
  beside &
  beside=$!
fi
silent=0
lost=
while all_live "$ray" $beside && [ "$stop$lost" = 0 ]; do
  if timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$head" "$port" 2>/dev/null; then
    silent=0
  else
    silent=$((silent + 2))
    if [ "$silent" -ge "$head_limit" ]; then
      say "no Ray head at $RAY_ADDRESS for $head_limit s; ending this node so that it is started anew"
      break
    fi
  fi
  start_timer 2
  while all_live "$ray" "$timer" $beside && [ "$stop$lost" = 0 ]; do
    look
    are_parts_alive || lost=1
    rest
  done
  kill -KILL "$timer" 2>/dev/null
done
finish "$ray" $beside
[ "$stop" = 0 ] || exit 0
exit 1
"""


def _head_script(frame: Frame) -> str:
    needs = _image_needs(("ray", *frame.programs), frame)
    return "".join((needs, _engine_parts(frame), _START, _RAY_ON_HEAD, _ENGINE))


def _alone_script(frame: Frame) -> str:
    return "".join((_image_needs(frame.programs, frame), _engine_parts(frame), _START, _NO_RAY, _ENGINE))


def _engine_parts(frame: Frame) -> str:
    companions = list(frame.companions.items())
    # Spaces: Kubernetes would look for a variable called "bring".
    return "".join(
        (
            f"end_limit={math.ceil(frame.drain_seconds) + END_SECONDS}\n",
            _lines(frame.definitions),
            _bring_function(frame),
            _function("serve", "model=$( bring ) || exit 1" if frame.bring else "", frame.before, frame.command),
            f"companions=({' '.join(shlex.quote(name) for name, _ in companions)})\n",
            *(_function(f"companion_{index}", command) for index, (_, command) in enumerate(companions)),
        )
    )


def _worker_script(frame: Frame) -> str:
    return "".join(
        (
            _image_needs(("ray", *frame.programs), frame),
            f"head_limit={frame.head_seconds}\n",
            _bring_function(frame),
            _beside_worker(frame),
            _START,
            _BRINGING if frame.bring else "",
            _WORKER,
        )
    )


def _beside_worker(frame: Frame) -> str:
    return f"{_lines(frame.definitions)}{_function('beside', frame.beside_worker)}" if frame.beside_worker else ""


def _image_needs(programs: tuple[str, ...], frame: Frame) -> str:
    words = {"programs": " ".join(programs), "way_out": frame.way_out, "part": frame.part}
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in words.items())


def _bring_function(frame: Frame) -> str:
    return _function("bring", frame.bring) if frame.bring else ""


def _function(name: str, *texts: str) -> str:
    """Return a shell function that runs all texts but the last, and then becomes the last, which is one command."""
    *first, command = texts
    return f"{name}() {{\n{''.join(map(_lines, first))}exec {command}\n}}\n"


def _lines(text: str) -> str:
    """Return ``text`` with a newline at its end, unless it is empty."""
    return text if not text or text.endswith("\n") else f"{text}\n"
