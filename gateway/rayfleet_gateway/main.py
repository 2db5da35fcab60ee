"""``rayfleet-gateway``: the command line. Nothing heavy is imported before the arguments are read."""

import argparse
import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from rayfleet.model.meta import ObjectKey
from rayfleet_gateway.model.settings import GatewaySettings

_DESCRIPTION = """\
Send OpenAI-compatible requests to the fleet that their model names.

Routes are the HTTPRoutes of an API server, endpoints the ready addresses of its EndpointSlices; both are watched, or
read from files with --config. Used are the routes of Gateways of the class `rayfleet`, and those whose Gateway is not
there; with --gateway those of that one. While the API server is away the last routes serve. The model is the header
`model`, or else the body's; both, and different, is a 400. Of the ready endpoints the one with the fewest requests in
flight is asked."""

_EPILOG = """\
paths of its own:
  /healthz         the process runs          /readyz   the routes have been read
  /metrics         Prometheus                /v1/models, /v1/models/NAME   what is routed

time limits:
  A route's timeouts.request runs to the first byte of the answer, never through it: streams may take as long as they
  bring bytes.

example:
  rayfleet-gateway --kubeconfig ~/.kube/config --port 8000
  curl http://127.0.0.1:8000/v1/models
  curl http://127.0.0.1:8000/v1/completions -H 'content-type: application/json' \\
    -d '{"model": "NAME", "prompt": "Hello"}'

SIGTERM: no new connections; running answers finish within --drain, what is left then ends with an error.
Exit code 0."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    settings = _settings(arguments)
    from rayfleet.logs import configure_logging
    from rayfleet.process import exit_code
    from rayfleet_gateway.serving import serve_until_signal

    configure_logging()
    try:
        import uvloop
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    return exit_code(lambda: run(serve_until_signal(settings)))


def _settings(arguments: list[str] | None) -> GatewaySettings:
    plain = GatewaySettings()
    parser = argparse.ArgumentParser(
        prog="rayfleet-gateway",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--kubeconfig", type=Path, metavar="FILE", help="API server to watch (default: the one of the pod it runs in)")
    add(
        "--config", type=Path, metavar="PATH", help="file or folder of YAML to read instead; read again when it changes"
    )
    add("--gateway", type=_key, metavar="NAMESPACE/NAME", help="use the routes of this Gateway alone")
    add("--state-dir", type=Path, metavar="DIR", help="keep the last routes here, for a start without API server")
    add("--host", default=plain.host, help="address to listen on; 0.0.0.0 for all (default: %(default)s)")
    add("--port", type=_port, default=plain.port, help="port to listen on (default: %(default)s)")
    add("--profiles", type=Path, metavar="FILE", help="YAML with profiles: filters, scorers and pickers by name")
    add(
        "--default-profile",
        default=plain.default_profile,
        metavar="NAME",
        help="how an endpoint is picked where the route does not say (default: %(default)s)",
    )
    for name, meaning in (
        ("first_byte_timeout", "longest wait for an answer's first byte, where the route has no timeouts.request"),
        ("idle_timeout", "longest silence within a stream, and longest wait for a client"),
        ("drain", "how long running answers may go on after SIGTERM"),
    ):
        seconds: float = getattr(plain, name).total_seconds()
        option = "--" + name.replace("_", "-")
        add(option, type=_seconds, default=seconds, metavar="SECONDS", help=f"{meaning} (default: {seconds:g})")
    chosen = parser.parse_args(arguments)
    return GatewaySettings(
        kubeconfig=chosen.kubeconfig,
        config=chosen.config,
        gateway=chosen.gateway,
        state_dir=chosen.state_dir,
        host=chosen.host,
        port=chosen.port,
        profiles=chosen.profiles,
        default_profile=chosen.default_profile,
        first_byte_timeout=timedelta(seconds=chosen.first_byte_timeout),
        idle_timeout=timedelta(seconds=chosen.idle_timeout),
        drain=timedelta(seconds=chosen.drain),
    )


def _key(text: str) -> ObjectKey:
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAMESPACE/NAME")
    return ObjectKey(namespace=namespace, name=name)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port (1 to 65535)")
    return int(text)


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
