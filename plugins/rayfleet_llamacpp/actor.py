"""The Ray actor: one llama.cpp server on its node's own address.

Imported by Ray's workers; imports Ray only by its caller.

The server is C++ threads inside this process: kill -9 of the actor is the death of the server. The model file is
mapped, so actors on one machine share its pages.
"""

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROMPT_CACHE_MIB = 64  # llama.cpp's own default is 8192, more than a demo machine has
_QUIET = 2  # llama.cpp's verbosity: warnings and errors


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What one server is told. ``threads`` 0: the cores of the machine divided by ``neighbours``, the nodes on it."""

    model: str
    served_model_name: str
    host: str
    context_tokens: int
    parallel_requests: int
    threads: int
    neighbours: int
    disabled_plugins: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that has loaded its model and answers."""

    url: str
    pid: int
    threads: int


class LlamaServer:
    """The actor's class; ``load`` once, when ``up`` has answered, and ``stay`` for as long as the process lives."""

    def __init__(self) -> None:
        self._server: Any = None
        self._ended = threading.Event()

    def up(self) -> int:
        """Return the process's number: Ray has placed the actor, and its process runs."""
        return os.getpid()

    def load(self, settings: ServerSettings) -> Running:
        """Bring the model to this node, load it and answer on a free port; EnvironmentProblem when it cannot be had."""
        path = _model_file(settings)
        threads = settings.threads or max(1, available_cores() // settings.neighbours)
        self._server = _started(settings, path, threads)
        return Running(url=str(self._server.listening_address), pid=os.getpid(), threads=threads)

    def stay(self) -> None:
        """Return never; the caller hears of this process's death by the error of this call."""
        self._ended.wait()


def available_cores() -> int:
    """Return the cores this process may use: its affinity, and the CPU limit of its container; at least 1."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return max(1, cores)
    return max(1, min(cores, int(quota) // int(period)) if quota != "max" else cores)


def _model_file(settings: ServerSettings) -> Path:
    from rayfleet_llamacpp.models import fetch_gguf

    return fetch_gguf(settings.model, settings.disabled_plugins)


def _started(settings: ServerSettings, path: Path, threads: int) -> Any:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {settings.served_model_name}
    parameters.n_ctx = settings.context_tokens
    parameters.n_parallel = settings.parallel_requests
    parameters.kv_unified = True  # a lone long request may use the context of all slots
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.hostnames = [settings.host]
    parameters.port = 0  # any free one
    parameters.ui = False
    parameters.cache_ram_mib = _PROMPT_CACHE_MIB
    parameters.verbosity = _QUIET
    parameters.endpoint_metrics = parameters.endpoint_slots = parameters.endpoint_props = True
    return xllamacpp.Server(parameters)
