"""The driver's settings: flags first, then the environment. The only module of the driver that reads it."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from types import MappingProxyType
from typing import NoReturn

from rayfleet.model.errors import FieldError, SettingsError
from rayfleet.plugin.arguments import OF_THE_PLAN, PATH, drain_problems, flag_problems
from rayfleet.plugin.settings import read_plugin_settings

# What the launch plan sets itself; `spec.serving.args` must not set it again.
_REFUSED = MappingProxyType(
    dict.fromkeys(("--model", "--served-model-name", "--nodes", "--host", "--port"), OF_THE_PLAN)
)
_SHOWN_LETTERS = 300
_REQUIRED = ("--model", "m", "--served-model-name", "m", "--nodes", "1", "--host", "127.0.0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything the driver is told. Token counts are whole tokens, times seconds."""

    model: str
    served_model_name: str
    nodes: int
    host: str
    port: int
    ray_address: str
    context_tokens: int
    parallel_requests: int
    threads: int
    node_wait_seconds: float
    load_seconds: float
    drain_seconds: float
    disabled_plugins: tuple[str, ...]


def decode_options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Return the options; SettingsError for a wrong flag or value, SystemExit for ``--help``."""
    given = _parser().parse_args(list(arguments))
    address = given.ray_address or environment.get("RAY_ADDRESS", "")
    if not address.rpartition(":")[2].isdecimal() or not address.rpartition(":")[0]:
        raise SettingsError(
            f"RAY_ADDRESS is {address!r}; host:port of the Ray head is wanted",
            way_out="KubeRay sets it in its pods; by hand, pass --ray-address 127.0.0.1:6379.",
        )
    return Options(
        model=given.model,
        served_model_name=given.served_model_name,
        nodes=given.nodes,
        host=given.host,
        port=given.port,
        ray_address=address,
        context_tokens=given.context_tokens,
        parallel_requests=given.parallel_requests,
        threads=given.threads,
        node_wait_seconds=given.node_wait_seconds,
        load_seconds=given.load_seconds,
        drain_seconds=given.drain_seconds,
        disabled_plugins=read_plugin_settings(environment).disabled,
    )


def argument_problems(arguments: Sequence[str]) -> tuple[FieldError, ...]:
    """Return what is wrong with the engine arguments of a manifest."""
    refused = tuple(flag_problems(arguments, _REFUSED))
    if refused:
        return refused
    try:
        return tuple(drain_problems("--drain-seconds", drain_seconds(arguments)))
    except SettingsError as error:
        return (FieldError(path=PATH, message=shorten(error.message, _SHOWN_LETTERS, placeholder=" ...").rstrip(": ")),)


def drain_seconds(arguments: Sequence[str]) -> float:
    """Return how long the driver finishes requests after SIGTERM; SettingsError when it would refuse the arguments."""
    return float(_parser().parse_args([*_REQUIRED, *arguments]).drain_seconds)


class _Parser(argparse.ArgumentParser):
    """Raises instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(message, way_out="See python -m rayfleet_llamacpp.driver --help.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m rayfleet_llamacpp.driver",
        description="Serve one model by llama.cpp on every node of a Ray cluster, behind one OpenAI API.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--model", required=True, metavar="REFERENCE", help="pypi:<package>, path:<path> or a path; needed on each node"
    )
    add("--served-model-name", required=True, metavar="NAME", help="what requests call the model")
    add("--nodes", type=_positive, required=True, help="Ray nodes to wait for and to use, the head included")
    add("--host", required=True, help="address of this node; the API listens there and nowhere else")
    add("--port", type=_port, default=8000, help="port of the API (default %(default)s)")
    add("--ray-address", default="", help="host:port of the Ray head (default: $RAY_ADDRESS)")
    add(
        "--context-tokens", type=_positive, default=4096, help="tokens of all requests of a node together (%(default)s)"
    )
    add("--parallel-requests", type=_positive, default=4, help="requests a node works on at once (%(default)s)")
    add("--threads", type=_count, default=0, help="threads per node; 0: its cores, shared by the nodes of one machine")
    add("--node-wait-seconds", type=_seconds, default=600.0, help="limit of waiting for the nodes (%(default)s)")
    add("--load-seconds", type=_seconds, default=300.0, help="limit of loading the model on one node (%(default)s)")
    add("--drain-seconds", type=_seconds, default=20.0, help="limit of finishing requests after SIGTERM (%(default)s)")
    return parser


def _positive(text: str) -> int:
    return _whole(text, 1, "a whole number of at least 1")


def _count(text: str) -> int:
    return _whole(text, 0, "a whole number of at least 0")


def _port(text: str) -> int:
    number = _whole(text, 1, "a port (1 to 65535)")
    if number > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return number


def _whole(text: str, least: int, what: str) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number
