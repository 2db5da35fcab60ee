"""The bash texts that start a head and a worker. Pure.

They run in stock images: bash, coreutils, sed, python3, vllm, ray. Both end when Ray ends, so that the container
restarts; the head's also when the observer or vLLM does. No step waits without a limit, and SIGTERM is heard at every
step.
"""

import shlex
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

RAY_VERSION = "2.60.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Whole seconds.

    ``stop``: from SIGTERM to SIGKILL of vLLM; ``head``: how long a worker bears a closed port of its head.
    """

    nodes: int = 600
    stop: int = 20
    head: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What the scripts are made of. ``arguments`` follow the model on vLLM's command line.

    ``is_fetched``: the model is a reference that ``rayfleet_models`` in the image has to bring, on every node.
    """

    model: str
    is_fetched: bool
    nodes: int
    port: int
    nodes_port: int
    arguments: tuple[str, ...] = ()


# VLLM_HOST_IP is the address by which ranks find one another; Ray hands a node's environment on to the actors there.
_START = """\
set -u
say() {{ echo "rayfleet: $*" >&2; }}
for program in {programs}; do
  command -v "$program" >/dev/null && continue
  say "this image has no '$program'. vLLM spans nodes by Ray, and stock vLLM images of 2026 ship none:" \\
    "build an image FROM yours with ray=={ray_version} in it, and name it in spec.serving.image."
  exit 1
done
export VLLM_HOST_IP=$POD_IP
lives() {{ kill -0 "$1" 2>/dev/null; }}
# The process and all that descend from it; orphans of one that died are not found any more, so ask before killing.
tree() {{
  local child
  echo "$1"
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do tree "$child"; done
}}
"""

# Ray drains for up to 30 s at SIGTERM, for nothing: the engine is gone by now.
_END = """\
rest=$(for process in $ray ${observer:-} ${engine:-} ${timer:-}; do lives "$process" && tree "$process"; done)
kill -TERM $ray ${observer:-} ${engine:-} 2>/dev/null
for _ in $(seq 30); do
  lives "$ray" || lives "${engine:-$ray}" || break
  sleep 0.1
done
kill -KILL $rest ${family:-} 2>/dev/null
"""

_FETCH = "$(python3 -m rayfleet_models fetch {model} --format huggingface)"

# - A head that is started again on a machine where its former workers still run is refused by Ray ("already running")
# as long
#   as the file of its former life names the same address.
# - vLLM 0.32.0 may hang for ever after SIGTERM with a stream open ("Waiting for connections to close"): hence the
# timer.
# - `wait -n` also returns when a trapped signal came: the loop goes on until one of the three is really gone.
_HEAD = """\
stop=0 status=0 engine= family=
ask_to_stop() {{
  [ "$stop" = 0 ] || return
  stop=1
  [ -n "$engine" ] || return
  family=$(tree "$engine")
  kill -TERM "$engine" 2>/dev/null
  {{ sleep {stop_limit}; say "vLLM did not end within {stop_limit} s; killing it"; kill -KILL $(tree "$engine"); }} &
  timer=$!
}}
trap ask_to_stop TERM INT
temp=$(sed -n 's/.*--temp-dir[= ]\\([^ ]*\\).*/\\1/p' <<<"$KUBERAY_GEN_RAY_START_CMD")
[ -z "$temp" ] || rm -f "$temp/ray_current_cluster"
eval "exec $KUBERAY_GEN_RAY_START_CMD" &
ray=$!
observer_text={observer}
python3 -c "$observer_text" serve "$POD_IP" {nodes_port} &
observer=$!
serve() {{
  model={model} || exit 1
  python3 -c "$observer_text" wait "$POD_IP" {nodes_port} {nodes} {nodes_limit} || exit 1
  exec vllm serve "$model" --host "$POD_IP" --port {port} {arguments}
}}
serve &
engine=$!
[ "$stop" = 0 ] || kill -TERM "$engine"
while lives "$ray" && lives "$observer" && lives "$engine"; do
  wait -n "$ray" "$observer" "$engine"
  status=$?
done
lives "$engine" || {{
  wait "$engine"
  ended=$?
  [ "$ended" = 127 ] || status=$ended
  say "the engine ended ($status)"
}}
lives "$observer" || {{ say "the observer of Ray's nodes ended; ending the engine"; status=1; }}
lives "$ray" || {{ say "Ray ended; ending the engine"; status=1; }}
{end}[ "$stop" = 0 ] || exit 0
[ "$status" != 0 ] || status=1
exit "$status"
"""

# `ray start --address` to a dead head tries for ever, and a raylet that lost its head lingers for a minute. So the
# head's
# port is watched for the whole life: gone for the limit, the container ends, and its restart finds the head's new
# address.
_WORKER = """\
{fetch}head=${{RAY_ADDRESS%:*}} port=${{RAY_ADDRESS##*:}}
eval "exec $KUBERAY_GEN_RAY_START_CMD" &
ray=$!
stop=0
trap 'stop=1; kill -TERM "$ray" 2>/dev/null' TERM INT
silent=0
while lives "$ray" && [ "$stop" = 0 ]; do
  if timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$head" "$port" 2>/dev/null; then
    silent=0
  else
    silent=$((silent + 2))
    if [ "$silent" -ge {head_limit} ]; then
      say "no Ray head at $RAY_ADDRESS for {head_limit} s; ending this node so that it is started anew"
      break
    fi
  fi
  sleep 2 &
  pause=$!
  wait -n "$ray" "$pause"
  kill "$pause" 2>/dev/null
done
{end}[ "$stop" = 1 ] && exit 0
exit 1
"""

# The model has to be there before the node joins: the head starts vLLM when all nodes have. SIGTERM must be heard
# meanwhile.
_FETCH_FIRST = """\
python3 -m rayfleet_models fetch {model} --format huggingface >/dev/null &
fetch=$!
trap 'kill -TERM "$fetch" 2>/dev/null; exit 0' TERM INT
wait "$fetch" || {{ say "the model could not be brought here"; exit 1; }}
"""


def head_script(launch: Launch, limits: Limits | None = None) -> str:
    """Return the head's script: Ray, an observer of its nodes, and vLLM once all nodes are there."""
    chosen = limits or Limits()
    quoted = shlex.quote(launch.model)
    body = _HEAD.format(
        observer=shlex.quote(_observer_text()),
        nodes_port=launch.nodes_port,
        nodes=launch.nodes,
        nodes_limit=chosen.nodes,
        stop_limit=chosen.stop,
        model=_FETCH.format(model=quoted) if launch.is_fetched else quoted,
        port=launch.port,
        arguments=shlex.join(launch.arguments),
        end=_END,
    )
    return _START.format(programs="ray vllm python3", ray_version=RAY_VERSION) + body


def worker_script(launch: Launch, limits: Limits | None = None) -> str:
    """Return a worker's script: the model, if it has to be brought, and Ray."""
    chosen = limits or Limits()
    fetch = _FETCH_FIRST.format(model=shlex.quote(launch.model)) if launch.is_fetched else ""
    return _START.format(programs="ray python3", ray_version=RAY_VERSION) + _WORKER.format(
        fetch=fetch, head_limit=chosen.head, end=_END
    )


@cache
def _observer_text() -> str:
    return files("rayfleet_vllm").joinpath("observer.py").read_text(encoding="utf-8")
