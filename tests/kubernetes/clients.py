"""Clients inside the cluster: pods of our image that ask the gateway's Service, once or until they are told to stop.

The one that goes on asks for whole answers and for streams side by side; a stream without ``[DONE]`` is broken.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.kubernetes.installation import GATEWAY_URL, restricted_pod

from rayfleet.model.json import Json
from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.waiting import wait_until

LIMIT_SECONDS = 120.0

_ASK = """
import json, pathlib, sys, threading, time, urllib.request
def opened(question, tokens, **more):
    url, model = sys.argv[1:]
    body = {"model": model, "temperature": 0, "max_tokens": tokens,
            "messages": [{"role": "user", "content": question}], **more}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(), headers)
    return urllib.request.urlopen(request, timeout=120)
def ask(tokens=3):
    with opened("What is the capital of France?", tokens) as response:
        return json.load(response)["choices"][0]["message"]["content"]
"""
_CONNECT = """
import json, socket, sys
def connects(place):
    host, port = place.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except OSError:
        return False
    return True
print(json.dumps([place for place in sys.argv[1:] if connects(place)]))
"""
_ONCE = _ASK + "print(ask(8))"
_LOOP = (
    _ASK
    + """
def stream():
    with opened("Tell me a long story.", 32, stream=True) as response:
        events = [line.strip() for line in response if line.startswith(b"data: ")]
    if events and b'"error"' in events[-1]:
        cut.append(events[-1].decode())
        return True
    return events[-1:] == [b"data: [DONE]"] and len(events) > 2
asked, failures, cut, stop = {}, [], [], pathlib.Path("/tmp/stop")
def again(how):
    name = how.__name__
    asked[name] = 0
    while not stop.exists():
        began = time.time()
        try:
            if not how():
                raise ValueError("not a whole answer")
        except Exception as error:
            text = error.read().decode() if hasattr(error, "read") else ""
            when = time.strftime("%H:%M:%S", time.gmtime(began))
            failures.append(f"{name} {asked[name]}, {when} + {time.time() - began:.1f} s: {error!r} {text}"[:500])
        asked[name] += 1
        if min(asked.get(each.__name__, 0) for each in HOWS):
            pathlib.Path("/tmp/begun").touch()
        time.sleep(0.1)
HOWS = (ask, stream)
threads = [threading.Thread(target=again, args=(how,)) for how in HOWS]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps({"asked": asked, "failures": failures, "cut": cut}))
"""
)


@dataclass(slots=True, kw_only=True)
class Asked:
    """What a client saw; filled when its block ends. ``cut`` are the error events that streams ended with."""

    answers: int = 0
    streams: int = 0
    failures: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)


def ask_once(kubectl: Kubectl, model: str, *, url: str = GATEWAY_URL) -> str:
    """Return what a client pod was answered, by default through the gateway's Service."""
    with _client(kubectl, "once", _ONCE, (url, model)) as name:
        _wait_phase(kubectl, name, "Succeeded")
        return kubectl("logs", name)


def reachable(kubectl: Kubectl, places: Sequence[str]) -> set[str]:
    """Return which of the places (``host:port``) a client pod can connect to."""
    with _client(kubectl, "connects", _CONNECT, places) as name:
        _wait_phase(kubectl, name, "Succeeded")
        return set(json.loads(kubectl("logs", name)))


@contextmanager
def asking(kubectl: Kubectl, model: str) -> Iterator[Asked]:
    """Let a client pod ask again and again for the length of the block, which begins after the first answers."""
    asked = Asked()
    with _client(kubectl, "loop", _LOOP, (GATEWAY_URL, model)) as name:
        _wait_phase(kubectl, name, "Running")
        kubectl("exec", name, "--", "sh", "-c", "until [ -e /tmp/begun ]; do sleep 0.1; done")
        yield asked
        kubectl("exec", name, "--", "touch", "/tmp/stop")
        _wait_phase(kubectl, name, "Succeeded")
        told: Json = json.loads(kubectl("logs", name))
        asked.answers, asked.streams = told["asked"]["ask"], told["asked"]["stream"]
        asked.failures, asked.cut = told["failures"], told["cut"]


@contextmanager
def _client(kubectl: Kubectl, name: str, script: str, arguments: Sequence[str]) -> Iterator[str]:
    container = {"name": "client", "command": ["python", "-c", script, *arguments]}
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {**restricted_pod(container), "restartPolicy": "Never"},
    }
    kubectl("create", "--validate=false", "-f", "-", stdin=json.dumps(pod))  # the server validates, and is asked less
    try:
        yield name
    finally:
        kubectl("delete", "pod", name, "--grace-period=0", "--force", "--ignore-not-found")


def _wait_phase(kubectl: Kubectl, name: str, phase: str) -> None:
    def status() -> Json:
        answer: Json = kubectl.object("get", "pod", name)["status"]
        return answer

    last = wait_until(
        status,
        f"client {name} is {phase}",
        LIMIT_SECONDS,
        holds=lambda seen: seen["phase"] in (phase, "Failed", "Succeeded"),
    )
    assert last["phase"] == phase, kubectl("logs", name)
