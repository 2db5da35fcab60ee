"""Real vLLM that is full, then one that reads long prompts upon an idle engine: not one verdict against it.

vLLM's metrics know nothing of a request until a first step with it has ended, so for that long its page is that of a
hung engine with a canary in it. tests/parts/sidecar/test_saturation.py does the same in time that passes by hand.
"""

import itertools
import json
import os
import random
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.e2e.fleets import asked, head_pods
from tests.engines.fleets import example, serving, written
from tests.engines.replicas import WITHOUT_RAY, vllm_environment

from rayfleet.model.json import Json
from rayfleet.model.ports import ENGINE_PORT, SIDECAR_PORT
from rayfleet_sidecar.observation import ReadinessRules

# RAYFLEET_SATURATION_SECONDS=600 is what docs/engines.md tells of.
SECONDS = float(os.environ.get("RAYFLEET_SATURATION_SECONDS", "180"))
CLIENTS = 32
PROMPT_TOKENS = 6000
ANSWER_SECONDS = 300
LOOK_SECONDS = 0.2
# Steps of 2048 tokens: on one core a first one takes far longer than a canary may when it is alone.
ARGUMENTS = [
    *("--enforce-eager", "--dtype", "float32", "--max-model-len", "8192", "--max-num-batched-tokens", "2048"),
    *("--kv-cache-memory-bytes", "805306368", "--shutdown-timeout", "5"),
]

pytestmark = [pytest.mark.engines, pytest.mark.full, pytest.mark.timeout(900 + 2 * SECONDS)]


def manifest() -> Json:
    """Return a fleet of one replica on one node."""
    vllm_environment()
    fleet = example(WITHOUT_RAY)
    fleet["spec"]["serving"] |= {"nodes": 1, "parallelism": {"pipeline": 1}, "args": ARGUMENTS}
    return fleet


def test_neither_saturation_nor_long_first_steps_bring_a_verdict(state: Path) -> None:
    with serving(written(manifest(), state), state, replicas=1) as machine:
        (head,) = head_pods(machine)
        address = str(head["status"]["podIP"])
        before = transitions(address)
        answers = saturated(address, SECONDS / 2)
        hidden = list(long_first_steps(address, SECONDS / 2))
        status, words = asked(f"http://{address}:{SIDECAR_PORT}/ready")
        told = f"{answers} answers of a full engine; first steps unseen for {hidden} s; {words.strip()}"
        print(told)  # noqa: T201 - shown when it fails, and with -s
        assert (status, transitions(address) - before) == (200, 0), told
        assert answers > CLIENTS, told
        assert max(hidden) > 1.5 * ReadinessRules().canary_limit.total_seconds(), f"no first step was long: {told}"


def saturated(address: str, seconds: float) -> int:
    """Keep the engine full for so long; return how many requests it has answered."""
    ends_at = time.monotonic() + seconds
    counts = itertools.count()

    def ask() -> None:
        while time.monotonic() < ends_at:
            generate(address, f"Request {next(counts)}: tell a story about a number.", tokens=64)

    with ThreadPoolExecutor(CLIENTS) as pool:
        for each in [pool.submit(ask) for _ in range(CLIENTS)]:
            each.result()
    return next(counts)


def long_first_steps(address: str, seconds: float) -> Iterator[float]:
    """Send one long prompt after the other; yield for how many seconds the engine's page did not know each.

    Between two the engine is idle for longer or shorter, so that they come before canaries and upon them.
    """
    chance = random.Random(8)  # noqa: S311 - no secret
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        prompt = [chance.randrange(1000, 40000) for _ in range(PROMPT_TOKENS)]
        with running(partial(generate, address, prompt, tokens=2)) as answer:
            began = time.monotonic()
            while not answer.done() and not is_known(address):
                time.sleep(LOOK_SECONDS)
            yield round(time.monotonic() - began, 1)
        time.sleep(chance.uniform(2, 8))


@contextmanager
def running(work: Callable[[], None]) -> Iterator["Future[None]"]:
    """Have ``work`` done meanwhile; raises what it raised."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        yield future
        future.result(ANSWER_SECONDS)


def is_known(address: str) -> bool:
    """Whether the engine's page tells of any request."""
    _, page = asked(f"http://{address}:{ENGINE_PORT}/metrics")
    return any(map(float, re.findall(r"^vllm:num_requests_(?:running|waiting)\{.*\} (\S+)$", page, re.MULTILINE)))


def transitions(address: str) -> float:
    """Return how often the sidecar has changed its word."""
    _, page = asked(f"http://{address}:{SIDECAR_PORT}/metrics")
    (count,) = re.findall(r"^rayfleet_sidecar_transitions_total\{.*\} (\S+)$", page, re.MULTILINE)
    return float(count)


def generate(address: str, prompt: str | list[int], tokens: int) -> None:
    """Have the engine answer a text, or tokens."""
    body = {"model": "smollm2", "prompt": prompt, "temperature": 0, "max_tokens": tokens, "ignore_eos": True}
    request = urllib.request.Request(
        f"http://{address}:{ENGINE_PORT}/v1/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:  # noqa: S310 - our own pod on loopback
        assert json.load(response)["usage"]["completion_tokens"] == tokens
