"""Flags and environment of the sidecar; the only module that reads the environment."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from rayfleet.logs import LogFormat
from rayfleet.model.engine import MetricMap, TrafficMetrics
from rayfleet.model.errors import SettingsError
from rayfleet.model.ports import ENGINE_PORT, SIDECAR_PORT
from rayfleet.plugin.metric_map import decode_metric_map
from rayfleet_sidecar.metrics.known import known_map
from rayfleet_sidecar.observation import ReadinessRules


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSettings:
    """Where evidence is kept: ``most_files`` of ``most_bytes`` in ``folder`` (empty: none is kept).

    ``termination_log`` is the file of the container's termination message; ``logs`` is a folder of logs, of whose
    newest ``most_logs`` files the last ``most_lines`` are kept; the stacks of ``most_processes`` are.
    """

    folder: str = ""
    termination_log: str = "/dev/termination-log"
    logs: str = ""
    most_files: int = 16
    most_bytes: int = 1 << 20
    most_logs: int = 16
    most_lines: int = 40
    most_processes: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarSettings:
    """``nodes_url`` is where Ray's view of its nodes can be had; it is not asked when no nodes are expected.

    ``judge_period`` plus ``answer_limit`` is how old a verdict can be; ``token_limit`` is for a first generation, which
    compiles and allocates. ``most_bytes`` and ``most_page_bytes`` bound what is read of an answer and of the engine's
    metrics. ``api_key`` is what the engine wants to see as a bearer token. ``traffic`` is what the metrics tell of
    requests; they are read every ``traffic_period``. ``metric_map`` is where they tell what every engine tells.
    ``load_path`` is where the engine's port tells how many generations it has taken up (``EngineProbe``).
    ``linger`` is how long to serve on after SIGTERM while the engine does: whoever drains a replica asks here.
    ``log_format`` is what a line of the log is (``rayfleet.logs``). ``sleep_path`` and ``wake_path`` are the engine's
    own operations, empty when it has none; each may take ``operation_limit``. ``token`` is what whoever changes
    something here has to show; without one nobody may. ``evidence`` is kept when the engine is lost.
    """

    host: str = "127.0.0.1"
    port: int = SIDECAR_PORT
    engine: str = "engine"
    engine_url: str = f"http://127.0.0.1:{ENGINE_PORT}"
    health_path: str = "/health"
    metrics_path: str = "/metrics"
    model: str = ""
    nodes_url: str = ""
    rules: ReadinessRules = field(default_factory=ReadinessRules)
    judge_period: timedelta = timedelta(seconds=0.4)
    answer_limit: timedelta = timedelta(seconds=1)
    token_limit: timedelta = timedelta(seconds=120)
    most_bytes: int = 256 << 10
    most_page_bytes: int = 4 << 20
    api_key: str = field(default="", repr=False)
    traffic: TrafficMetrics = field(default_factory=TrafficMetrics)
    metric_map: MetricMap = field(default_factory=MetricMap)
    traffic_period: timedelta = timedelta(seconds=5)
    linger: timedelta = timedelta()
    log_format: str = "text"
    load_path: str = ""
    sleep_path: str = ""
    wake_path: str = ""
    operation_limit: timedelta = timedelta(seconds=60)
    token: str = field(default="", repr=False)
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flag:
    """One flag of the command line; ``variable`` is the environment's name for it (aibrix_runtime's), if it has one."""

    name: str
    default: str | int
    help: str
    variable: str = ""


TOKEN_VARIABLE = "RAYFLEET_SIDECAR_TOKEN"  # noqa: S105 - a name, no secret
_PLAIN = SidecarSettings()
_EXPECTED_NODES = "--expected-ray-nodes"
_STALL_SECONDS = "--stall-seconds"
_CANARY_SECONDS = "--canary-seconds"
_LINGER_SECONDS = "--linger-seconds"
_LOG_FORMAT = "--log-format"
_METRIC_MAP = "--metric-map"
_LOAD_PATH = "--load-path"
# By the field of SidecarSettings that a flag sets; ``expected_nodes`` and seconds of stalls and canaries are rules.
_FLAGS: Mapping[str, _Flag] = {
    "host": _Flag(name="--host", default=_PLAIN.host, help="address to listen on (default: %(default)s)"),
    "port": _Flag(name="--port", default=_PLAIN.port, help="port to listen on (default: %(default)s)"),
    "engine": _Flag(
        name="--engine",
        default=_PLAIN.engine,
        help="the engine's name, for logs and metrics",
        variable="INFERENCE_ENGINE",
    ),
    "engine_url": _Flag(
        name="--engine-url",
        default=_PLAIN.engine_url,
        help="where the engine serves (default: $INFERENCE_ENGINE_ENDPOINT, else %(default)s)",
        variable="INFERENCE_ENGINE_ENDPOINT",
    ),
    "health_path": _Flag(
        name="--health-path", default=_PLAIN.health_path, help="its health check (default: %(default)s)"
    ),
    "metrics_path": _Flag(
        name="--metrics-path",
        default=_PLAIN.metrics_path,
        help="its metrics (default: %(default)s)",
        variable="METRIC_SCRAPE_PATH",
    ),
    "model": _Flag(
        name="--model", default="", help="served model to ask for a token (default: the first of /v1/models)"
    ),
    "expected_nodes": _Flag(name=_EXPECTED_NODES, default=0, help="Ray nodes of this replica; 0: not on Ray"),
    "nodes_url": _Flag(name="--ray-nodes-url", default="", help='where {"alive": [...]} of Ray can be had'),
    "stall_seconds": _Flag(
        name=_STALL_SECONDS,
        default=int(_PLAIN.rules.stall_after.total_seconds()),
        help="running requests without a step of the engine for so long are a stall; 0: never (default: %(default)s)",
    ),
    "canary_seconds": _Flag(
        name=_CANARY_SECONDS,
        default=int(_PLAIN.rules.canary_every.total_seconds()),
        help="an engine that had nothing to do for so long is asked for a token; 0: never (default: %(default)s)",
    ),
    "load_path": _Flag(
        name=_LOAD_PATH,
        default="",
        help="where the engine's port tells how many generations it has taken up: PATH#KEY of a JSON object",
    ),
    "sleep_path": _Flag(name="--sleep-path", default="", help="where the engine is put to sleep, by POST"),
    "wake_path": _Flag(name="--wake-path", default="", help="where it is woken, by POST"),
    "evidence_folder": _Flag(name="--evidence-folder", default="", help="keep what is known of each loss there"),
    "evidence_logs": _Flag(name="--log-folder", default="", help="with the last lines of the newest logs in there"),
    "metric_map": _Flag(
        name=_METRIC_MAP,
        default="",
        help="where the engine's metrics tell what every engine tells, JSON (default: its plugin's map)",
    ),
    "linger_seconds": _Flag(
        name=_LINGER_SECONDS, default=0, help="serve on after SIGTERM while the engine does, so long at most"
    ),
    "log_format": _Flag(name=_LOG_FORMAT, default=_PLAIN.log_format, help="log lines: text or json"),
}
# By the field of TrafficMetrics: what its series tell.
_TRAFFIC_FLAGS: Mapping[str, str] = {
    "running": "gauges of requests being worked on",
    "waiting": "gauges of requests that wait",
    "steps": "counters that grow while the engine works, with the labels of those gauges",
    "served": "counters of generations that ended well",
    "failed": "counters of generations that failed by the engine's fault",
}
_AIBRIX_ARGUMENTS = ("--host=0.0.0.0",)
_AIBRIX_ENVIRONMENT: Mapping[str, str] = {
    "INFERENCE_ENGINE": "vllm",
    "INFERENCE_ENGINE_ENDPOINT": "http://localhost:8000",
}
_DESCRIPTION = (
    "Judge the engine beside this process: /healthz (itself), /ready (the engine, by Ray's nodes, its health and a "
    "one-token generation), /status (each check, the stages of its start), /inflight (the engine's requests), /metrics "
    "(its own and the engine's); with a token /drain, /sleep and /wake."
)


def read_settings(arguments: Sequence[str] | None, environment: Mapping[str, str] = os.environ) -> SidecarSettings:
    """Return the settings.

    Flags win over aibrix_runtime's ``INFERENCE_ENGINE``, ``INFERENCE_ENGINE_ENDPOINT`` and ``METRIC_SCRAPE_PATH``. The
    engine's key comes by ``INFERENCE_ENGINE_API_KEY`` alone, the sidecar's own token by ``RAYFLEET_SIDECAR_TOKEN``:
    command lines are for everybody to read.

    Raises SettingsError for values that do not go together; argparse itself ends the process for the rest.
    """
    parser = argparse.ArgumentParser(prog="rayfleet-sidecar", description=_DESCRIPTION)
    for field_name, flag in _FLAGS.items():
        parser.add_argument(
            flag.name,
            dest=field_name,
            metavar=flag.name.removeprefix("--").upper().replace("-", "_"),
            type=type(flag.default),
            default=environment.get(flag.variable, flag.default),
            help=flag.help,
        )
    for name, meaning in _TRAFFIC_FLAGS.items():
        parser.add_argument(
            f"--{name}-metrics", dest=name, metavar="SERIES", default="", help=f"{meaning}; apart by spaces"
        )
    settings = replace(
        _settings(vars(parser.parse_args(arguments))),
        api_key=environment.get("INFERENCE_ENGINE_API_KEY", ""),
        token=environment.get(TOKEN_VARIABLE, ""),
    )
    _check(settings)
    return settings


def read_aibrix_settings(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> SidecarSettings:
    """Return the settings as ``aibrix_runtime`` is told them: its defaults where they differ from ours.

    It has three flags, ``--host``, ``--port`` and ``--enable-fastapi-docs``, which is taken and does nothing: there are
    no such docs. Ours are taken too. Raises as ``read_settings``.
    """
    own = [word for word in arguments if word != "--enable-fastapi-docs"]
    return read_settings([*_AIBRIX_ARGUMENTS, *own], {**_AIBRIX_ENVIRONMENT, **environment})


def _settings(values: dict[str, Any]) -> SidecarSettings:
    rules = replace(
        _PLAIN.rules,
        expected_nodes=values.pop("expected_nodes"),
        stall_after=timedelta(seconds=values.pop("stall_seconds")),
        canary_every=timedelta(seconds=values.pop("canary_seconds")),
    )
    evidence = EvidenceSettings(folder=values.pop("evidence_folder"), logs=values.pop("evidence_logs"))
    return SidecarSettings(
        evidence=evidence,
        engine_url=values.pop("engine_url").rstrip("/"),
        rules=rules,
        traffic=TrafficMetrics(**{name: tuple(values.pop(name).split()) for name in _TRAFFIC_FLAGS}),
        metric_map=_metric_map(values.pop("metric_map"), values["engine"]),
        linger=timedelta(seconds=values.pop("linger_seconds")),
        **values,
    )


def _metric_map(text: str, engine: str) -> MetricMap:
    """Return the map that is written; when none is, that of the engine's plugin beside the sidecar."""
    if not text:
        return known_map(engine)
    try:
        return decode_metric_map(text)
    except ValueError as error:
        raise SettingsError(f"{_METRIC_MAP}: {error}") from error


def _check(settings: SidecarSettings) -> None:
    if not 0 < settings.port < 65536:
        raise SettingsError(f"--port: {settings.port} is not a port (1 to 65535)")
    if settings.log_format not in set(LogFormat):
        raise SettingsError(f"{_LOG_FORMAT}: {settings.log_format!r} is neither text nor json")
    _check_url("--engine-url", settings.engine_url)
    _check_url("--ray-nodes-url", settings.nodes_url)
    path, _, key = settings.load_path.partition("#")
    if settings.load_path and not (path.startswith("/") and key):
        raise SettingsError(f"{_LOAD_PATH}: {settings.load_path!r} is no path and key such as /load#server_load")
    expected = settings.rules.expected_nodes
    if expected < 0:
        raise SettingsError(f"{_EXPECTED_NODES}: {expected} is negative")
    spans = {
        _STALL_SECONDS: settings.rules.stall_after,
        _CANARY_SECONDS: settings.rules.canary_every,
        _LINGER_SECONDS: settings.linger,
    }
    for flag, span in spans.items():
        if span < timedelta():
            raise SettingsError(f"{flag}: {span.total_seconds():g} is negative")
    if expected and not settings.nodes_url:
        raise SettingsError(
            f"{_EXPECTED_NODES} without --ray-nodes-url", way_out="Say where Ray's view of its nodes can be had."
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
