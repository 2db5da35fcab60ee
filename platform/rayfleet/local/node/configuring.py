"""From a container's spec to a command that runs here: environment, image, addresses, volumes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rayfleet.local.node.container import Configured
from rayfleet.local.node.environments import CannotConfigure, ConfigLookup, command_line, container_environment
from rayfleet.local.node.images import base_environment, environment_of
from rayfleet.local.node.loopback import RAY_COMMAND, PodNetwork, beside_ray, localized_environment, localized_words
from rayfleet.local.node.messages import MESSAGE_FILE
from rayfleet.local.node.mounts import BindMount
from rayfleet.local.node.prober import ProbeTarget
from rayfleet.local.node.processes import MARK, STATE_MARK, ContainerCommand
from rayfleet.local.node.services import NodeServices
from rayfleet.local.node.users import User, container_user
from rayfleet.local.node.views import container_mark
from rayfleet.local.node.volume_files import bind_mounts
from rayfleet.local.node.volumes import VolumeMount, mounted_volumes
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.meta import namespace_of, uid_of
from rayfleet.objects.parts import part
from rayfleet.objects.security import fs_group
from rayfleet.objects.volumes import message_place


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
        user = container_user(self._pod, raw, own_user())
        lookup = self._services.lookup_in(namespace_of(self._pod))
        declared = container_environment(self._pod, raw, lookup, self._network.address)
        words = command_line(raw, declared)
        network = self._network if RAY_COMMAND in declared else beside_ray(self._network)
        environment = self._environment(raw, declared, network)
        folder = self._services.folders.container(self._folder_name, raw["name"])
        folder.mkdir(parents=True, exist_ok=True)
        if user is not None:
            os.chown(folder, user.uid, user.gid)
        mounts = self._mounts(raw, lookup, folder)
        work = _working_folder(raw, folder, mounts)
        command = ContainerCommand(
            words=localized_words(words, declared, network, self._services.resolve),
            environment=environment,
            folder=work,
            log_path=folder / f"{run}.log",
            user=user,
            mounts=mounts,
            message_path=folder / MESSAGE_FILE if mounts else None,
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
            mounts=mounts,
        )
        return Configured(command=command, target=target)

    def _environment(self, raw: ReadOnlyJson, declared: Mapping[str, str], network: PodNetwork) -> dict[str, str]:
        return {
            **self._base(raw),
            **localized_environment(declared, network, self._services.resolve),
            MARK: container_mark(uid_of(self._pod), raw["name"]),
            STATE_MARK: str(self._services.folders.state),
        }

    def _mounts(self, raw: ReadOnlyJson, lookup: ConfigLookup, folder: Path) -> tuple[BindMount, ...]:
        """Return the container's volumes and where it explains its end, outer mounts first; none for who cannot mount.

        Raises CannotConfigure.
        """
        volumes = mounted_volumes(self._pod, raw, lookup, self._network.address)
        if not self._services.can_mount:
            check_unmounted(raw, volumes)
        pod_folder = self._services.folders.pods / self._folder_name
        mounts = bind_mounts(volumes, pod_folder, fs_group(self._pod))
        if not self._services.can_mount:
            return ()
        message = BindMount(source=folder / MESSAGE_FILE, target=Path(message_place(raw).path))
        return tuple(sorted((*mounts, message), key=lambda each: len(each.target.parts)))

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


def _working_folder(raw: ReadOnlyJson, own: Path, mounts: Sequence[BindMount]) -> Path:
    """Return where a container begins. Raises CannotConfigure for a folder that is neither here nor in its mounts."""
    work = Path(raw["workingDir"]) if raw.get("workingDir") else own
    if not any(work.is_relative_to(each.target) for each in mounts) and not work.is_dir():
        raise CannotConfigure(f"container {raw['name']}: workingDir {str(work)!r} does not exist on this machine")
    return work


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


def check_unmounted(raw: ReadOnlyJson, volumes: Sequence[VolumeMount]) -> None:
    """Refuse volumes by their names on a node that cannot mount. Raises CannotConfigure.

    A path of the host at itself is there all the same; nobody keeps it from being written.
    """
    for each in volumes:
        if each.is_at_itself:
            continue
        raise CannotConfigure(
            f"container {raw['name']}: volume {each.volume.name!r} cannot be mounted at {each.target}: "
            "containers share this machine's files, and only root can mount. Start the cluster as root; "
            "a hostPath volume whose path is the mountPath works for everybody"
        )
