"""The bash texts that start a head and a worker. Pure.

Both end when Ray ends, so that the container restarts; the head's also when the driver does.
"""

_HEAD_LIMIT_SECONDS = 60

# Ray drains for up to 30 s at SIGTERM, for nothing: the servers are gone by now. Its daemons are children of `ray
# start`,
# and would outlive it.
_END = """\
daemons=$(cat "/proc/$ray/task/$ray/children" 2>/dev/null)
kill -TERM $ray ${driver:-} 2>/dev/null
for _ in $(seq 30); do
  kill -0 $ray 2>/dev/null || kill -0 ${driver:-$ray} 2>/dev/null || break
  sleep 0.1
done
kill -KILL $ray ${driver:-} $daemons 2>/dev/null\
"""

# A head that is started again on a machine where its former workers still run is refused by Ray ("already running") as
# long as the file of its former life names the same address.
_HEAD = """\
set -u
temp=$(sed -n 's/.*--temp-dir[= ]\\([^ ]*\\).*/\\1/p' <<<"$KUBERAY_GEN_RAY_START_CMD")
[ -z "$temp" ] || rm -f "$temp/ray_current_cluster"
eval "exec $KUBERAY_GEN_RAY_START_CMD" &
ray=$!
{driver} &
driver=$!
trap 'kill -TERM "$driver" 2>/dev/null' TERM INT
# `wait -n` also returns when a trapped signal came: go on until one of the two is really gone.
while kill -0 "$ray" 2>/dev/null && kill -0 "$driver" 2>/dev/null; do
  wait -n "$ray" "$driver"
  status=$?
done
kill -0 "$driver" 2>/dev/null || {{ wait "$driver"; ended=$?; [ "$ended" = 127 ] || status=$ended; }}
kill -0 "$ray" 2>/dev/null || {{ echo "ray ended; ending the engine" >&2; status=1; }}
{end}
exit "${{status:-1}}"
"""

# `ray start --address` to a dead head tries for ever, and a raylet that lost its head lingers for a minute. So the
# head's
# port is watched for the whole life: gone for the limit, the container ends, and its restart finds the head's new
# address.
_WORKER = """\
set -u
head=${{RAY_ADDRESS%:*}} port=${{RAY_ADDRESS##*:}}
eval "exec $KUBERAY_GEN_RAY_START_CMD" &
ray=$!
stop=0
trap 'stop=1; kill -TERM "$ray" 2>/dev/null' TERM INT
silent=0
while kill -0 "$ray" 2>/dev/null && [ "$stop" = 0 ]; do
  if timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$head" "$port" 2>/dev/null; then
    silent=0
  else
    silent=$((silent + 2))
    if [ "$silent" -ge {limit} ]; then
      echo "no Ray head at $RAY_ADDRESS for {limit} s; ending this node so that it is started anew" >&2
      break
    fi
  fi
  sleep 2 &
  pause=$!
  wait -n "$ray" "$pause"
  kill "$pause" 2>/dev/null
done
{end}
[ "$stop" = 1 ] && exit 0
exit 1
"""


def head_script(driver: str) -> str:
    """Return the head's script; ``driver`` is the shell command of the engine's driver."""
    return _HEAD.format(driver=driver, end=_END)


def worker_script(head_limit_seconds: int = _HEAD_LIMIT_SECONDS) -> str:
    """Return a worker's script; it ends when the head's port is closed for that long."""
    return _WORKER.format(limit=head_limit_seconds, end=_END)
