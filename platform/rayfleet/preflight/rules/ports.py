"""Two listeners on one port of a pod: containers of a pod share its address. Pure.

Ray listens on ports that no manifest names. Source: KubeRay common/pod.go (1.6), which gives every node
``--metrics-export-port=8080`` and ``--dashboard-agent-listen-port=52365``, and ``ray start --help`` (2.60).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from rayfleet.objects.container_specs import container_name, declared_ports
from rayfleet.objects.parts import written_count
from rayfleet.objects.shell_commands import simple_commands
from rayfleet.plugin.arguments import flag_value
from rayfleet.preflight.findings import Finding
from rayfleet.preflight.subject import Group, Subject

_ON_EVERY_NODE = (("metrics-export-port", 8080, "metrics"), ("dashboard-agent-listen-port", 52365, "dashboard agent"))
_ON_THE_HEAD = (
    ("port", 6379, "head service"),
    ("dashboard-port", 8265, "dashboard"),
    ("ray-client-server-port", 10001, "client server"),
)
_DASHBOARD_SWITCH = "include-dashboard"
_RAY, _ENGINE = "Ray", "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listener:
    """``owner`` tells processes apart: a port that one of them names twice is no collision."""

    port: int
    owner: str
    words: str
    path: str
    flag: str = ""


def port_collisions(subject: Subject) -> Iterator[Finding]:
    """Yield a warning at the second of two listeners on a port, Ray's implicit ports first."""
    for group in subject.groups:
        taken: dict[int, _Listener] = {}
        named: set[tuple[int, str]] = set()
        for listener in (*_of_ray(group), *_of_engine(subject, group), *_of_containers(group)):
            first = taken.setdefault(listener.port, listener)
            if first.owner != listener.owner and (listener.port, listener.owner) not in named:
                named.add((listener.port, listener.owner))
                yield _collision(first, listener)


def _collision(first: _Listener, second: _Listener) -> Finding:
    way_out = f"give one of them another ({first.flag})" if first.flag else "give one of them another"
    message = (
        f"port {second.port} is used twice in one pod, by {first.words} and by {second.words}: whichever binds it"
        f" second fails; {way_out}"
    )
    return Finding(rule="port-collision", path=second.path, message=message)


def _of_ray(group: Group) -> Iterator[_Listener]:
    params = group.start_params
    for flag, default, name in (*(_ON_THE_HEAD if group.is_head else ()), *_ON_EVERY_NODE):
        if flag == "dashboard-port" and params.get(_DASHBOARD_SWITCH) == "false":
            continue
        text = params.get(flag, "")
        path = f"{group.path}.rayStartParams.{flag}" if text else group.container_path(0)
        written = written_count(text)
        port = default if written is None else written
        words = f"Ray's {name}{'' if text else ' (by default)'}"
        yield _Listener(port=port, owner=_RAY, words=words, path=path, flag=f"rayStartParams.{flag}")


def _of_engine(subject: Subject, group: Group) -> Iterator[_Listener]:
    for command in subject.engines() if group.is_head else ():
        words = f"the engine {command.engine}"
        yield _Listener(port=command.port, owner=_ENGINE, words=words, path=group.container_path(0))


def _of_containers(group: Group) -> Iterator[_Listener]:
    # What the Ray container declares are Ray's own ports and the engine's: no third listener.
    for here, container in group.beside:
        words = f"the container {container_name(container)}"
        for port in declared_ports(container):
            if port.number and port.is_tcp:
                path = f"{here}.ports[{port.place}].containerPort"
                yield _Listener(port=port.number, owner=here, words=words, path=path)
        for command in simple_commands(container):
            port_written = written_count(flag_value(command, "--port") or "")
            if port_written is not None:
                yield _Listener(port=port_written, owner=here, words=words, path=here)
