"""Makes a pod that was written for a network of its own run on a machine that all pods share. Pure.

Ray binds some of its ports to every address whatever ``--node-ip-address`` says, so each pod gets a block of ports for
Ray's daemons, and everything that names one of Ray's usual ports on the pod or on its head Service is rewritten: the
``ray start`` command, addresses in the environment, commands and probes. ``localhost``, 127.0.0.1 and 0.0.0.0 become
the pod's own address, so that each pod has its port 8000. Measured in Ray 2.60: GCS, node manager and object manager
bind ``*``; socket paths want a short ``--temp-dir``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import mappings, part
from rayfleet.objects.pods import ray_container
from rayfleet.objects.services import service_ports

RAY_COMMAND = "KUBERAY_GEN_RAY_START_CMD"
PORTS_PER_POD = 60
_WORKER_OFFSET = 10
_METRICS_OFFSET = 7
# Ray wants 75 MB at least; the engines keep nothing large in the object store.
OBJECT_STORE_BYTES = 80_000_000

_SERVICE = re.compile(
    r"(?<![\w.-])([a-z][a-z0-9-]*)\.([a-z0-9][a-z0-9-]*)\.svc(?:\.[a-z0-9-]+)*(?::(\d+))?(?![\w-])", re.IGNORECASE
)
# "This pod" in the ways that texts say it; not a network such as 0.0.0.0/0.
_SELF = re.compile(r"(?<![\w.@-])(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?::(\d+))?(?![\w.-]|/\d)")
# Lists of hosts to reach directly: nobody listens there.
_LEFT_AS_IT_IS = frozenset({"NO_PROXY", "no_proxy"})

# A word of a shell command, quotes and escapes included; a separator ends it, an escaped line end does not.
_WORD_TEXT = r"""(?:[^\s'"\\;&|<>]|'[^']*'|"(?:\\.|[^"\\])*"|\\[^\n])+"""
_WORD = re.compile(_WORD_TEXT, re.DOTALL)
_RAY_START = re.compile(rf"(?<![\w./-])ray start(?:(?:[ \t]|\\\n)+{_WORD_TEXT})+", re.DOTALL)
# Ends every Ray process of the machine, those of other pods too. A container's own end with it anyway.
_RAY_STOP = re.compile(r"(?<![\w./-])ray stop\b(?:[ \t]+-[\w=-]+)*")

# Flag of `ray start` -> (its default port, offset in the pod's block).
_DAEMON_PORTS = {
    "port": (6379, 0),
    "node-manager-port": (0, 1),
    "object-manager-port": (0, 2),
    "dashboard-port": (8265, 3),
    "dashboard-agent-listen-port": (52365, 4),
    "dashboard-agent-grpc-port": (0, 5),
    "runtime-env-agent-port": (0, 6),
    "metrics-export-port": (8080, _METRICS_OFFSET),
    "ray-client-server-port": (10001, 8),
}
_HEAD_ONLY = frozenset({"port", "dashboard-port", "ray-client-server-port"})


class NotResolved(Exception):
    """A Service that the pod names has no address yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodNetwork:
    """A pod's address, the first port of its block, and the temporary folder of its Ray cluster.

    The folder is "" when it runs no Ray. ``port_map`` takes a port that the pod's spec speaks of to the real one.
    """

    address: str
    first_port: int
    temp_dir: str = ""
    port_map: Mapping[int, int]


Resolve = Callable[[str, str], PodNetwork | None]


def ray_command(pod: ReadOnlyJson) -> str:
    """Return the start command that KubeRay wrote into the pod's Ray container, empty for a pod without Ray."""
    for entry in mappings(ray_container(pod).get("env")):
        if entry["name"] == RAY_COMMAND:
            return str(entry.get("value") or "")
    return ""


def pod_network(pod: ReadOnlyJson, address: str, first_port: int, temp_dir: str) -> PodNetwork:
    """Return the network of a pod whose slot has this address and block of ports."""
    command = ray_command(pod)
    if not command:
        return PodNetwork(address=address, first_port=first_port, port_map={})
    flags = _flags(command)
    ports = {
        port: first_port + offset
        for flag, (default, offset) in _DAEMON_PORTS.items()
        if (port := _number(flags.get(flag, "")) or default)
    }
    return PodNetwork(address=address, first_port=first_port, temp_dir=temp_dir, port_map=ports)


def beside_ray(network: PodNetwork) -> PodNetwork:
    """Return the network for a container beside Ray: the usual metrics port, 8080, is the sidecar's there."""
    ports = {port: real for port, real in network.port_map.items() if real != network.first_port + _METRICS_OFFSET}
    return replace(network, port_map=ports)


def behind_service(network: PodNetwork, pod: ReadOnlyJson, service: ReadOnlyJson) -> PodNetwork:
    """Return a pod's network as a client of a Service sees it: the Service's ports lead to its target ports."""
    named = {
        port["name"]: int(port["containerPort"])
        for container in mappings(part(pod, "spec").get("containers"))
        for port in mappings(container.get("ports"))
        if port.get("name")
    }
    ports = {}
    for port in service_ports(service):
        is_name = isinstance(port.target, str) and not port.target.isdigit()
        target = named.get(str(port.target), 0) if is_name else int(port.target)
        if target:
            ports[port.port] = network.port_map.get(target, target)
    return replace(network, port_map={**network.port_map, **ports})


def localized_ray_start(command: str, network: PodNetwork) -> str:
    """Return a ``ray start`` command with this pod's address, ports and temporary folder.

    Other flags stay as they are.
    """
    flags = _flags(command)
    is_head = "head" in flags
    for flag, (_, offset) in _DAEMON_PORTS.items():
        if flag in _HEAD_ONLY and not is_head:
            flags.pop(flag, None)
        elif flag == "ray-client-server-port" and flag not in flags:
            continue  # the plain wheel refuses the flag; it comes with ray[client]
        else:
            flags[flag] = str(network.first_port + offset)
    flags |= {
        "node-ip-address": network.address,
        "temp-dir": network.temp_dir,
        "min-worker-port": str(network.first_port + _WORKER_OFFSET),
        "max-worker-port": str(network.first_port + PORTS_PER_POD - 1),
    }
    flags.setdefault("object-store-memory", str(OBJECT_STORE_BYTES))
    flags.setdefault("disable-usage-stats", "")
    if is_head:
        flags["dashboard-host"] = network.address
        flags.setdefault("include-dashboard", "false")
    else:
        # The head's folder is this node's too: one log monitor reads all of it, a second one would say all twice. That
        # one calls every line its own node's.
        flags.setdefault("include-log-monitor", "false")
    words = [f"--{flag}={value}" if value else f"--{flag}" for flag, value in flags.items()]
    return " ".join(["ray start", *words])


def localized_text(text: str, network: PodNetwork, resolve: Resolve) -> str:
    """Return ``text`` with names of Services, this pod's own names and Ray's usual ports replaced.

    Raises NotResolved.
    """

    def of_service(match: re.Match[str]) -> str:
        name, namespace, port = match[1], match[2], match[3]
        target = resolve(namespace, name)
        if target is None:
            raise NotResolved(f"Service {namespace}/{name} has no address yet")
        return target.address + (f":{target.port_map.get(int(port), int(port))}" if port else "")

    def of_self(match: re.Match[str]) -> str:
        port = match[1]
        return network.address + (f":{network.port_map.get(int(port), int(port))}" if port else "")

    return _SELF.sub(of_self, _SERVICE.sub(of_service, text))


def localized_environment(environment: Mapping[str, str], network: PodNetwork, resolve: Resolve) -> dict[str, str]:
    """Return a container's environment for this machine. Raises NotResolved."""
    local = {
        name: value if name in _LEFT_AS_IT_IS else localized_text(value, network, resolve)
        for name, value in environment.items()
    }
    if RAY_COMMAND in environment:
        local[RAY_COMMAND] = localized_ray_start(local[RAY_COMMAND], network)
        local.setdefault("RAY_AUTH_MODE", "disabled")  # else a token file in the home folder decides
    if "FQ_RAY_IP" in environment:
        local["RAY_IP"] = local["FQ_RAY_IP"]
    if local.get("RAY_PORT", "").isdigit() and network.temp_dir:
        port = int(local["RAY_PORT"])
        local["RAY_PORT"] = _gcs_port(local.get("RAY_ADDRESS", "")) or str(network.port_map.get(port, port))
    return local


def localized_words(
    words: list[str], environment: Mapping[str, str], network: PodNetwork, resolve: Resolve
) -> list[str]:
    """Return a command line for this machine; ``environment`` is the declared one, as KubeRay wrote it.

    Raises NotResolved.

    In KubeRay's normal mode the start command stands in the arguments too, word for word.
    """
    command = environment.get(RAY_COMMAND, "")
    if words[:2] == ["ray", "stop"]:
        return ["true"]
    adapted = []
    for word in words:
        local = word
        if command.strip() and command in word:
            local = word.replace(command, localized_ray_start(localized_text(command, network, resolve), network) + " ")
        adapted.append(_RAY_STOP.sub("true", _own_ray_start(localized_text(local, network, resolve), network)))
    if adapted[0].endswith("bash") and adapted[1:2] == ["-lc"]:
        adapted[1] = "-c"  # a login shell would read this machine's profile, which sets PATH anew
    return adapted


def _own_ray_start(text: str, network: PodNetwork) -> str:
    """Return ``text`` with the ``ray start`` that a person wrote adapted.

    In a pod that KubeRay did not make nothing is known of it.
    """

    def adapted(match: re.Match[str]) -> str:
        flags = _flags(match[0])
        if flags.get("node-ip-address") == network.address or not flags.keys() & {"head", "address"}:
            return match[0]  # done already, or prose
        return localized_ray_start(match[0], network)

    return _RAY_START.sub(adapted, text) if network.temp_dir else text


def _number(text: str) -> int:
    bare = text.strip("'\"")
    return int(bare) if bare.isdigit() else 0


def _gcs_port(address: str) -> str:
    return address.rpartition(":")[2] if ":" in address else ""


def _flags(command: str) -> dict[str, str]:
    """Return the flags of a ``ray start`` command in order.

    Values as they stand: the shell's quotes and references stay. A flag without a value has an empty one.
    """
    flags: dict[str, str] = {}
    last = ""
    for word in _WORD.findall(command)[2:]:
        if not word.startswith("--"):  # `--port 6379`
            flags[last] = word
            continue
        last, _, value = word.removeprefix("--").partition("=")
        flags[last] = value
    return flags
