"""Flags and environment of the sidecar; the only module that reads the environment."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rayfleet.model.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarSettings:
    """``expected_nodes`` 0: the engine does not run on Ray, and ``nodes_url`` is not asked.

    ``judge_period`` plus ``answer_limit`` is how old a verdict can be; ``token_limit`` is for a first generation, which compiles and
    allocates. ``stale_after``: a judge that stood still this long judges nothing.
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
    stale_after: timedelta = timedelta(seconds=3)


def read_settings(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> SidecarSettings:
    """Return the settings; flags win over ``INFERENCE_ENGINE`` and ``INFERENCE_ENGINE_ENDPOINT`` (aibrix_runtime's names).

    Raises SettingsError for values that do not go together; argparse itself ends the process for the rest.
    """
    defaults = SidecarSettings()
    parser = argparse.ArgumentParser(
        prog="rayfleet-sidecar",
        description="Judge the engine beside this process: /healthz (itself), /ready (the engine, by Ray's nodes, its health and a "
        "one-token generation), /metrics (its own and the engine's).",
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
    )
