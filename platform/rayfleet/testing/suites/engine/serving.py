"""Checks with an engine that really serves: a small OpenAI server stands for it, and is asked as the sidecar asks.

It listens where its words say and answers to the name that its words say, so an engine that is started with the wrong
ones is not reached.
"""

import json
import os
import shlex
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rayfleet.testing.launching import Running
from rayfleet.testing.suites.engine.promises import FRAME, PROBE, promise
from rayfleet.testing.suites.engine.tested import TestedEngine
from rayfleet.testing.waiting import wait_until

_STAND_IN = Path(__file__).with_name("stand_in.py")
_SECONDS = 60.0


class ServingChecks(TestedEngine):
    """The head's script with a server for an engine."""

    @promise(PROBE)
    def test_a_served_engine_is_healthy_where_the_sidecar_looks(self, tmp_path: Path) -> None:
        """At the probe's port and path, on the pod's own address."""
        plan = self.engine.launch_plan(self.most)
        with self._served(tmp_path) as (_, url):
            for path in (plan.probe.health_path, plan.probe.metrics_path):
                status, _ = _asked(f"{url}{path}")
                assert status == 200, f"{path} was answered with {status}"

    @promise(PROBE)
    def test_a_served_engine_answers_to_its_name(self, tmp_path: Path) -> None:
        """``servedModelName`` is what requests ask for, and the engine was told it."""
        with self._served(tmp_path) as (_, url):
            status, answer = _asked(f"{url}/v1/completions", {"model": self.most.served_model_name, "prompt": "x"})
            assert status == 200, f"the engine does not know {self.most.served_model_name!r}: {answer}"
            status, _ = _asked(f"{url}/v1/completions", {"model": "no-such-name", "prompt": "x"})
            assert status == 404

    @promise(FRAME)
    def test_a_stream_that_runs_at_sigterm_ends_well(self, tmp_path: Path) -> None:
        """The engine hears the signal, and what it was at comes to its end before anything else is ended."""
        body = {"model": self.most.served_model_name, "prompt": "x", "stream": True}
        with self._served(tmp_path) as (script, url), _opened(f"{url}/v1/completions", body) as answer:
            first = answer.readline()
            script.terminate()
            rest = answer.read()
            assert script.ended().status == 0
        assert first.startswith(b"data: "), first
        assert rest.endswith(b"data: [DONE]\n\n"), f"the stream was cut: {rest!r}"

    @contextmanager
    def _served(self, folder: Path) -> Iterator[tuple[Running, str]]:
        """Yield the running script and the URL at which its engine answers by now."""
        address = f"127.{os.getpid() >> 8 & 127 | 64}.{os.getpid() & 255}.9"
        command = shlex.join((sys.executable, "-S", str(_STAND_IN)))
        image = self.image(folder, engine=f'exec {command} "$POD_IP" "$@"')
        image.variables["POD_IP"] = address
        url = f"http://{address}:{self.engine.launch_plan(self.most).probe.port}"
        with self.head(image) as script:
            wait_until(lambda: _answers(url), f"the engine answers at {url}", self.limit_seconds, every=0.02)
            yield script, url


def _answers(url: str) -> bool:
    try:
        _asked(f"{url}/health")
    except OSError:
        return False
    return True


def _asked(url: str, body: object = None) -> tuple[int, str]:
    try:
        with _opened(url, body) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _opened(url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - of this module
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by way of a proxy
    return opener.open(request, timeout=_SECONDS)
