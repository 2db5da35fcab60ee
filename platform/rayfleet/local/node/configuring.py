"""From a container's spec to a command that runs here: environment, image, addresses, volumes."""

import os
from pathlib import Path

from rayfleet.local.node.container import Configured
from rayfleet.local.node.environments import CannotConfigure, command_line, container_environment
from rayfleet.local.node.images import base_environment, environment_of
from rayfleet.local.node.loopback import RAY_COMMAND, PodNetwork, beside_ray, localized_environment, localized_words
from rayfleet.local.node.prober import ProbeTarget
from rayfleet.local.node.processes import MARK, STATE_MARK, ContainerCommand
from rayfleet.local.node.services import NodeServices
from rayfleet.local.node.users import User, container_user
from rayfleet.local.node.views import container_mark
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.meta import namespace_of, uid_of
from rayfleet.objects.parts import part

# Mounts that mean nothing on a shared machine: shared memory is the machine's, Ray's folder is --temp-dir.
_SHARED_MOUNTS = frozenset({"/dev/shm", "/tmp/ray"})  # noqa: S108 - names of mounts, not files of ours
_TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path


class Configurator:
    """Configures the containers of one pod."""

    def __init__(self, pod: ReadOnlyJson, network: PodNetwork, services: NodeServices, folder_name: str) -> None:
        self._pod = pod
        self._network = network
        self._services = services
        self._folder_name = folder_name

    def configured(self, raw: ReadOnlyJson, run: int) -> Configured:
        """Return a run's command and the container's probe target. Raises CannotConfigure, NotResolved."""
        _check_support(self._pod, raw)
        _check_mounts(self._pod, raw)
        user = container_user(self._pod, raw, own_user())
        lookup = self._services.lookup_in(namespace_of(self._pod))
        declared = container_environment(self._pod, raw, lookup, self._network.address)
        words = command_line(raw, declared)
        network = self._network if RAY_COMMAND in declared else beside_ray(self._network)
        environment = {
            **self._base(raw),
            **localized_environment(declared, network, self._services.resolve),
            MARK: container_mark(uid_of(self._pod), raw["name"]),
            STATE_MARK: str(self._services.folders.state),
        }
        folder = self._services.folders.container(self._folder_name, raw["name"])
        work = Path(raw["workingDir"]) if raw.get("workingDir") else folder
        folder.mkdir(parents=True, exist_ok=True)
        if user is not None:
            os.chown(folder, user.uid, user.gid)
        if not work.is_dir():
            raise CannotConfigure(f"container {raw['name']}: workingDir {str(work)!r} does not exist on this machine")
        command = ContainerCommand(
            words=localized_words(words, declared, network, self._services.resolve),
            environment=environment,
            folder=work,
            log_path=folder / f"{run}.log",
            user=user,
        )
        target = ProbeTarget(
            address=self._network.address,
            port_of=lambda port: _real_port(raw, network, port),
            words_of=lambda words: localized_words(list(words), declared, network, self._services.resolve),
            children=self._services.children,
            environment=environment,
            folder=work,
            session=self._services.session,
            user=user,
        )
        return Configured(command=command, target=target)

    def _base(self, raw: ReadOnlyJson) -> dict[str, str]:
        environment = environment_of(raw.get("image", ""), self._services.environments)
        return base_environment(environment, self._services.own_bin, self._services.cache, self._services.variables)


def own_user() -> User:
    """Return whom this node runs as."""
    return User(uid=os.geteuid(), gid=os.getegid(), groups=tuple(os.getgroups()))


def _real_port(raw: ReadOnlyJson, network: PodNetwork, port: int | str) -> int:
    if isinstance(port, str) and not port.isdigit():
        port = next((each["containerPort"] for each in raw.get("ports") or () if each.get("name") == port), 0)
    return network.port_map.get(int(port), int(port))


def _check_support(pod: ReadOnlyJson, raw: ReadOnlyJson) -> None:
    """Refuse what would silently not happen. Raises CannotConfigure."""
    name = raw["name"]
    if raw in (pod["spec"].get("initContainers") or ()) and raw.get("restartPolicy") == "Always":
        raise CannotConfigure(f"init container {name}: sidecars (restartPolicy Always) do not work on this machine")
    if part(raw, "lifecycle").get("postStart"):
        raise CannotConfigure(f"container {name}: postStart hooks do not work on this machine; use the command")
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        if "grpc" in part(raw, kind):
            raise CannotConfigure(
                f"container {name}: {kind}: grpc does not work on this machine; use exec or tcpSocket"
            )


def _check_mounts(pod: ReadOnlyJson, raw: ReadOnlyJson) -> None:
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    for mount in raw.get("volumeMounts") or ():
        path, volume = mount["mountPath"], volumes.get(mount["name"]) or {}
        if path in _SHARED_MOUNTS or path == _TOKEN_MOUNT:
            continue
        if part(volume, "hostPath").get("path") == path and Path(path).exists():
            continue
        raise CannotConfigure(
            f"container {raw['name']}: volume {mount['name']!r} cannot be mounted at {path}: "
            "containers share this machine's files. A hostPath volume whose path is the mountPath works"
        )
