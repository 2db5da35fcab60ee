"""Clients inside the cluster: pods of our image that ask the gateway's Service, once or until they are told to stop."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.kubernetes.installation import GATEWAY_URL, restricted_pod

from rayfleet.model.json import Json
from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.waiting import wait_until

LIMIT_SECONDS = 600.0

_ASK = """
import json, pathlib, sys, urllib.request
def ask(url, model):
    body = {"model": model, "temperature": 0, "max_tokens": 8,
            "messages": [{"role": "user", "content": "What is the capital of France?"}]}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)["choices"][0]["message"]["content"]
"""
_ONCE = _ASK + "print(ask(*sys.argv[1:]))"
_LOOP = (
    _ASK
    + """
asked, failures, stop = 0, [], pathlib.Path("/tmp/stop")
while not stop.exists():
    asked += 1
    try:
        answer = ask(*sys.argv[1:])
        if not answer:
            failures.append("an empty answer")
    except Exception as error:
        text = error.read().decode() if hasattr(error, "read") else ""
        failures.append(f"{asked}: {error!r} {text}"[:500])
    if asked == 1:
        pathlib.Path("/tmp/begun").touch()
print(json.dumps({"asked": asked, "failures": failures}))
"""
)


@dataclass(slots=True, kw_only=True)
class Asked:
    """What a client saw; filled when its block ends."""

    count: int = 0
    failures: list[str] = field(default_factory=list)


def ask_once(kubectl: Kubectl, model: str) -> str:
    """Return what a client pod was answered through the gateway's Service."""
    with _client(kubectl, "once", _ONCE, model) as name:
        _wait_phase(kubectl, name, "Succeeded")
        return kubectl("logs", name)


@contextmanager
def asking(kubectl: Kubectl, model: str) -> Iterator[Asked]:
    """Let a client pod ask again and again for the length of the block."""
    asked = Asked()
    with _client(kubectl, "loop", _LOOP, model) as name:
        _wait_phase(kubectl, name, "Running")
        kubectl(
            "exec", name, "--", "sh", "-c", "for i in $(seq 600); do [ -e /tmp/begun ] && exit; sleep 0.1; done; exit 1"
        )
        yield asked
        kubectl("exec", name, "--", "touch", "/tmp/stop")
        _wait_phase(kubectl, name, "Succeeded")
        told: Json = json.loads(kubectl("logs", name))
        asked.count, asked.failures = told["asked"], told["failures"]


@contextmanager
def _client(kubectl: Kubectl, name: str, script: str, model: str) -> Iterator[str]:
    container = {"name": "client", "command": ["python", "-c", script, GATEWAY_URL, model]}
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
        kubectl("delete", "pod", name, "--grace-period=0", "--force")


def _wait_phase(kubectl: Kubectl, name: str, phase: str) -> None:
    def status() -> Json:
        answer: Json = kubectl.object("get", "pod", name)["status"]
        return answer

    last = wait_until(
        status, f"client {name} is {phase}", LIMIT_SECONDS, holds=lambda seen: seen["phase"] in (phase, "Failed")
    )
    assert last["phase"] == phase, kubectl("logs", name)
