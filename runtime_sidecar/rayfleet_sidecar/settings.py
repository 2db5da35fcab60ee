"""Flags and environment of the sidecar; the only module that reads the environment."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from rayfleet.model.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarSettings:
    """``expected_nodes`` 0: the engine does not run on Ray, and ``nodes_url`` is not asked.

    ``judge_period`` plus ``answer_limit`` is how old a verdict can be; ``token_limit`` is for a first generation, which
    compiles and allocates. ``shortest_refusal``: an engine that was ready and is not stays so for longer than a
    readiness probe's period of 1 s, so that no probe misses it. ``stale_after``: a judge that stood still this long
    judges nothing. ``most_bytes`` and ``most_page_bytes`` bound what is read of an answer and of the engine's metrics.
    ``api_key`` is what the engine wants to see as a bearer token.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    engine: str = "engine"
    engine_url: str = "http://127.0.0.1:8000"
    health_path: str = "/health"
    metrics_path: str = "/metrics"
    model: str = ""
    expected_nodes: int = 0
    nodes_url: str = ""
    judge_period: timedelta = timedelta(seconds=0.4)
    answer_limit: timedelta = timedelta(seconds=1)
    token_limit: timedelta = timedelta(seconds=120)
    shortest_refusal: timedelta = timedelta(seconds=1.5)
    stale_after: timedelta = timedelta(seconds=2)
    most_bytes: int = 256 << 10
    most_page_bytes: int = 4 << 20
    api_key: str = field(default="", repr=False)


def read_settings(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> SidecarSettings:
    """Return the settings.

    Flags win over ``INFERENCE_ENGINE`` and ``INFERENCE_ENGINE_ENDPOINT`` (aibrix_runtime's names).

    The engine's key comes by ``INFERENCE_ENGINE_API_KEY`` alone: command lines are for everybody to read. Raises
    SettingsError for values that do not go together; argparse itself ends the process for the rest.
    """
    defaults = SidecarSettings()
    parser = argparse.ArgumentParser(
        prog="rayfleet-sidecar",
        description="Judge the engine beside this process: /healthz (itself), /ready (the engine, by Ray's nodes, its "
        "health and a one-token generation), /metrics (its own and the engine's).",
    )
    parser.add_argument("--host", default=defaults.host, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=defaults.port, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--engine",
        default=environment.get("INFERENCE_ENGINE", defaults.engine),
        help="the engine's name, for logs and metrics",
    )
    parser.add_argument(
        "--engine-url",
        default=environment.get("INFERENCE_ENGINE_ENDPOINT", defaults.engine_url),
        help="where the engine serves (default: $INFERENCE_ENGINE_ENDPOINT, else %(default)s)",
    )
    parser.add_argument("--health-path", default=defaults.health_path, help="its health check (default: %(default)s)")
    parser.add_argument("--metrics-path", default=defaults.metrics_path, help="its metrics (default: %(default)s)")
    parser.add_argument(
        "--model", default="", help="served model to ask for a token (default: the first of /v1/models)"
    )
    parser.add_argument("--expected-ray-nodes", type=int, default=0, help="Ray nodes of this replica; 0: not on Ray")
    parser.add_argument("--ray-nodes-url", default="", help='where {"alive": [...]} of Ray can be had')
    chosen = parser.parse_args(arguments)
    if not 0 < chosen.port < 65536:
        raise SettingsError(f"--port: {chosen.port} is not a port (1 to 65535)")
    for flag, url in (("--engine-url", chosen.engine_url), ("--ray-nodes-url", chosen.ray_nodes_url)):
        _check_url(flag, url)
    if chosen.expected_ray_nodes < 0:
        raise SettingsError(f"--expected-ray-nodes: {chosen.expected_ray_nodes} is negative")
    if chosen.expected_ray_nodes and not chosen.ray_nodes_url:
        raise SettingsError(
            "--expected-ray-nodes without --ray-nodes-url", way_out="Say where Ray's view of its nodes can be had."
        )
    return SidecarSettings(
        host=chosen.host,
        port=chosen.port,
        engine=chosen.engine,
        engine_url=chosen.engine_url.rstrip("/"),
        health_path=chosen.health_path,
        metrics_path=chosen.metrics_path,
        model=chosen.model,
        expected_nodes=chosen.expected_ray_nodes,
        nodes_url=chosen.ray_nodes_url,
        api_key=environment.get("INFERENCE_ENGINE_API_KEY", ""),
    )


def _check_url(flag: str, text: str) -> None:
    if not text:
        return
    if "$(" in text:
        raise SettingsError(
            f"{flag}: {text!r} holds a variable that nobody has replaced",
            way_out="In a pod, declare it in the container's env (POD_IP by fieldRef status.podIP).",
        )
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise SettingsError(f"{flag}: {text!r} is no URL such as http://127.0.0.1:8000")
