"""``rayfleet-gateway``: the command line. Nothing heavy is imported before the arguments are read."""

import argparse
import re
import sys
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from rayfleet.logs import LogFormat, configure_logging
from rayfleet.model.meta import ObjectKey
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.planes.python.limits import body_budget_bytes, connection_limit

_DESCRIPTION = """\
Send OpenAI-compatible requests to the fleet that their model names.

Routes are the HTTPRoutes of an API server, endpoints the ready addresses of its EndpointSlices; both are watched, or
read from files with --config. Used are the routes of Gateways of the class `rayfleet`, and those whose Gateway is not
there; with --gateway those of that one. While the API server is away the last routes serve. The model is the header
`model`, or else the body's; both, and different, is a 400. Of the ready endpoints the one with the fewest requests in
flight is asked."""

_EPILOG = """\
for clients, on --port:
  /v1/models, /v1/models/NAME   what is routed; everything else is what the routes say

for operators, on --admin-port:
  /healthz   the process runs      /readyz   the routes have been read, and it is not about to stop
  /metrics   Prometheus            /debug/explain   why a request would go where

time limits:
  A route's timeouts.request runs to the first byte of the answer, never through it: streams may take as long as they
  bring bytes.

example:
  rayfleet-gateway --kubeconfig ~/.kube/config --port 8000
  curl http://127.0.0.1:8000/v1/models
  curl http://127.0.0.1:8000/v1/completions -H 'content-type: application/json' \\
    -d '{"model": "NAME", "prompt": "Hello"}'

several processes:
  --workers N runs N processes on one port, each with metrics of its own: on --admin-port, and the N - 1 ports after it.
  A second gateway may listen on the same port before the first one stops.

SIGTERM or SIGINT: /readyz says so; for --lag new requests are still taken, and answers close their connections; then
no new connections, running answers finish within --drain, what is left then ends with an error. The same signal once
more ends it at once. Exit code 0."""

_MOST_PORT = 65535
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#A-Z]+")
_SECONDS = (
    ("connect_timeout", "longest wait for a connection to an endpoint"),
    ("first_byte_timeout", "longest wait for an answer's first byte, where the route has no timeouts.request"),
    ("idle_timeout", "longest silence within a stream, and longest wait for a client that does not read"),
    ("head_timeout", "longest time for a client to send a request's head"),
    ("body_start_timeout", "time for a body before --body-least-rate counts"),
    ("keep_alive_timeout", "how long a client's connection is kept without a request"),
    ("lag", "how long after SIGTERM new requests are still taken"),
    ("drain", "how long after that running answers may go on"),
)
_COUNTS = (
    ("workers", "processes on the port"),
    ("attempts", "endpoints that a request may be given to, before the first byte of an answer"),
    ("head_limit", "bytes of a request's head in all"),
    ("body_limit", "bytes of a request's body, unpacked too"),
    ("body_least_rate", "bytes of a body that a client has to send each second"),
    ("body_budget", "bytes of the bodies of all requests together"),
    ("connections", "connections of clients"),
)

_ORIGINS = {
    "body_budget": ", by this machine",
    "body_limit": ", or what the budget leaves a worker",
    "connections": ", by this machine",
}


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    settings = _settings(given)
    import uvloop

    from rayfleet.process import exit_code

    configure_logging(settings.log_format)
    if settings.workers > 1:
        return exit_code(lambda: _run_workers(given, settings))
    from rayfleet_gateway.allocation import give_back_large_blocks, start_trimmer
    from rayfleet_gateway.serving import serve_until_signal

    give_back_large_blocks()
    start_trimmer()
    return exit_code(lambda: uvloop.run(_served(serve_until_signal(settings))))


async def _served(work: Awaitable[None]) -> None:
    """Wait for the end of the work; no signal changes the exit code after it."""
    from rayfleet_gateway.planes.python.signals import ignore_signals

    try:
        await work
    finally:
        ignore_signals()


def _run_workers(arguments: list[str], settings: GatewaySettings) -> None:
    """Run the workers; what would end each of them at its start is told here, and none is started again and again."""
    import uvloop

    from rayfleet_gateway.planes.python.workers import run_workers
    from rayfleet_gateway.state.plugins import load_profiles

    load_profiles(settings.profiles, settings.default_profile)
    uvloop.run(_served(run_workers(arguments, settings)))


def _settings(arguments: list[str]) -> GatewaySettings:
    plain = replace(GatewaySettings(), body_budget_bytes=body_budget_bytes(), connections=connection_limit())
    parser = _parser(plain)
    chosen = parser.parse_args(arguments)
    if chosen.body_limit is None:
        chosen.body_limit = min(plain.body_limit_bytes, chosen.body_budget // chosen.workers)
    if fault := _contradiction(chosen):
        parser.error(fault)
    times = {name: timedelta(seconds=getattr(chosen, name)) for name, _ in _SECONDS}
    numbers = {_field(name): getattr(chosen, name) for name, _ in _COUNTS}
    given: dict[str, Any] = {**times, **numbers}
    return replace(
        plain,
        kubeconfig=chosen.kubeconfig,
        config=chosen.config,
        gateway=chosen.gateway,
        state_dir=chosen.state_dir,
        profiles=chosen.profiles,
        default_profile=chosen.default_profile,
        host=chosen.host,
        port=chosen.port,
        admin_port=chosen.admin_port,
        access_log=chosen.access_log,
        has_traces=chosen.traces,
        has_model_histograms=chosen.model_histograms,
        cors_origins=frozenset(chosen.cors_origin),
        forwarded_policy=chosen.forwarded,
        log_format=chosen.log_format,
        parent=chosen.parent,
        **given,
    )


def _contradiction(chosen: argparse.Namespace) -> str:
    """Return which flags do not go together, empty when all do."""
    if chosen.config is not None and chosen.kubeconfig is not None:
        return "--config and --kubeconfig: routes come from files or from an API server"
    if chosen.config is not None and chosen.state_dir is not None:
        return "--state-dir keeps the routes of an API server: with --config the files are there anyway"
    if chosen.body_limit > (budget := chosen.body_budget // chosen.workers):
        each = " for each worker" if chosen.workers > 1 else ""
        return f"--body-limit {chosen.body_limit}: no such body could be read, --body-budget leaves {budget}{each}"
    last = chosen.admin_port + chosen.workers - 1
    if last > _MOST_PORT:
        return f"--admin-port {chosen.admin_port}: {chosen.workers} workers need the ports up to {last}"
    if chosen.admin_port <= chosen.port <= last:
        return f"--port {chosen.port} is one of the ports for operators ({chosen.admin_port} to {last})"
    return ""


def _parser(plain: GatewaySettings) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rayfleet-gateway",
        usage="%(prog)s [--kubeconfig FILE | --config PATH] [OPTION ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_sources(parser)
    add = parser.add_argument
    add("--host", default=plain.host, help="address to listen on; 0.0.0.0 for all (default: %(default)s)")
    add("--port", type=_port, default=plain.port, help="port for clients (default: %(default)s)")
    add("--admin-port", type=_port, default=plain.admin_port, help="port for operators (default: %(default)s)")
    for name, meaning in _SECONDS:
        value: float = getattr(plain, name).total_seconds()
        help_text = f"{meaning} (default: {value:g})"
        add(_option(name), type=_lag if name == "lag" else _seconds, default=value, metavar="SECONDS", help=help_text)
    for name, meaning in _COUNTS:
        number: int = getattr(plain, _field(name))
        help_text = f"{meaning} (default: {number}{_ORIGINS.get(name, '')})"
        default = None if name == "body_limit" else number
        add(_option(name), type=_count, default=default, metavar="NUMBER", help=help_text)
    _add_behaviour(parser, plain)
    return parser


def _add_sources(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--kubeconfig", type=Path, metavar="FILE", help="API server to watch (default: the one of the pod it runs in)")
    add("--config", type=Path, metavar="PATH", help="YAML, a file or folder, to read instead; again when it changes")
    add("--gateway", type=_key, metavar="NAMESPACE/NAME", help="use the routes of this Gateway alone")
    add("--state-dir", type=Path, metavar="DIR", help="keep the last routes here, for a start without API server")


def _add_behaviour(parser: argparse.ArgumentParser, plain: GatewaySettings) -> None:
    add = parser.add_argument
    add("--profiles", type=Path, metavar="FILE", help="YAML with profiles: filters, scorers and pickers by name")
    meaning = "how an endpoint is picked where the route does not say (default: %(default)s)"
    add("--default-profile", default=plain.default_profile, metavar="NAME", help=meaning)
    add("--access-log", metavar="FILE", help="a line of JSON for each request; - is standard output (default: none)")
    add("--traces", action="store_true", help="OpenTelemetry spans, to where OTEL_EXPORTER_OTLP_ENDPOINT says")
    add("--model-histograms", action="store_true", help="histograms of durations for each model, beside those of all")
    add(
        "--cors-origin",
        type=_origin,
        action="append",
        default=[],
        metavar="ORIGIN",
        help="whose pages may read answers; * is all",
    )
    add("--_parent", dest="parent", type=_count, help=argparse.SUPPRESS)  # of a worker: the process that it stops with
    add("--log-format", choices=tuple(LogFormat), default=plain.log_format, help="log lines (default: %(default)s)")
    meaning = "what becomes of X-Forwarded-* (default: %(default)s)"
    add("--forwarded", choices=("append", "replace", "keep"), default=plain.forwarded_policy, help=meaning)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _field(name: str) -> str:
    return f"{name}_bytes" if name in {"head_limit", "body_limit", "body_budget"} else name


def _key(text: str) -> ObjectKey:
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAMESPACE/NAME")
    return ObjectKey(namespace=namespace, name=name)


def _origin(text: str) -> str:
    if text != "*" and _ORIGIN.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no origin as browsers write it: https://chat.example, or *")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _MOST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port (1 to 65535)")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 50:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _lag(text: str) -> float:
    return 0.0 if re.fullmatch(r"0+(\.0*)?", text) else _seconds(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
