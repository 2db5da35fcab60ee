"""What is looked at: one fleet or replica set with its pods, and the documents beside it. Pure.

Parts of a wrong type count as absent: what is wrong with them is the decoder's to say.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rayfleet.model.engine import EngineCommand, LocalEnvironment
from rayfleet.model.fleet import Fleet
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import FLEETS
from rayfleet.objects.container_specs import container_words
from rayfleet.objects.labels import (
    APP_LABEL,
    CREATED_BY_LABEL,
    FLEET_LABEL,
    GROUP_LABEL,
    HEAD_NODE_TYPE,
    IS_RAY_NODE_LABEL,
    NODE_TYPE_LABEL,
    OVERWRITE_COMMAND_ANNOTATION,
    WORKER_NODE_TYPE,
)
from rayfleet.objects.meta import kind_of, labels_of
from rayfleet.objects.parts import mapping, part
from rayfleet.objects.ray_spec import (
    containers,
    group_name,
    group_workers,
    has_autoscaler,
    head_group,
    native_sidecars,
    pod_accelerators,
    pod_template,
    worker_groups,
)
from rayfleet.objects.shell_commands import simple_commands
from rayfleet.planning.fleet.bounds import Bounds
from rayfleet.planning.overlay import read_engines
from rayfleet.plugin.contracts import CommandReader
from rayfleet.plugin.split_check import Shape

_RAY_STARTS = ("KUBERAY_GEN_RAY_START_CMD", "ray start")
_KUBERAY_LABELS = {IS_RAY_NODE_LABEL: "yes", APP_LABEL: "kuberay", CREATED_BY_LABEL: "kuberay-operator"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Head or worker group: ``path`` is where it stands, ``pods`` how many of it a replica has."""

    name: str
    path: str
    raw: ReadOnlyJson
    pods: int
    is_head: bool = False

    @property
    def containers(self) -> Sequence[Json]:
        """The containers of its pods, the Ray container first."""
        return containers(self.raw)

    @property
    def ray_container(self) -> Json:
        """The Ray container, empty without any."""
        return next(iter(self.containers), {})

    @property
    def start_params(self) -> Mapping[str, str]:
        """Flags of ``ray start``, as texts."""
        return {name: str(value) for name, value in part(self.raw, "rayStartParams").items()}

    @property
    def accelerators(self) -> int:
        """Accelerators of one of its pods."""
        return pod_accelerators(self.raw)

    def container_path(self, place: int) -> str:
        """Return where the container at ``place`` stands."""
        return f"{self.path}.template.spec.containers[{place}]"

    @property
    def beside(self) -> Sequence[tuple[str, Json]]:
        """What runs beside the Ray container, each with where it stands: sidecars of either form."""
        here = f"{self.path}.template.spec.initContainers"
        started_first = ((f"{here}[{place}]", each) for place, each in native_sidecars(self.raw).items())
        later = ((self.container_path(place), each) for place, each in enumerate(self.containers) if place)
        return (*later, *started_first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A fleet or replica set. ``spec`` is the RayCluster's, at ``path``; ``annotations`` are the RayCluster's.

    ``fleet`` is the decoded one, None of a replica set or when it cannot be decoded; ``bounds`` its rollout's.
    ``readers`` and ``environments`` are what plugins contribute. ``shapes`` are those of model folders that are here.
    """

    raw: ReadOnlyJson
    name: str
    namespace: str
    spec: ReadOnlyJson
    path: str
    annotations: ReadOnlyJson
    fleet: Fleet | None = None
    bounds: Bounds | None = None
    readers: Sequence[CommandReader] = ()
    environments: Sequence[LocalEnvironment] = ()
    shapes: Mapping[str, Shape] = field(default_factory=dict)

    @property
    def head(self) -> Group:
        """The head."""
        return Group(
            name=HEAD_NODE_TYPE,
            path=f"{self.path}.headGroupSpec",
            raw=head_group(self.spec),
            pods=1,
            is_head=True,
        )

    @property
    def workers(self) -> Sequence[Group]:
        """The worker groups."""
        return tuple(
            Group(
                name=group_name(raw),
                path=f"{self.path}.workerGroupSpecs[{place}]",
                raw=raw,
                pods=group_workers(raw),
            )
            for place, raw in enumerate(worker_groups(self.spec))
        )

    @property
    def groups(self) -> Sequence[Group]:
        """The head, then the worker groups."""
        return (self.head, *self.workers)

    @property
    def is_overwritten(self) -> bool:
        """Whether KubeRay leaves the containers' commands as they are, so that these must start Ray."""
        return mapping(self.annotations).get(OVERWRITE_COMMAND_ANNOTATION) == "true"

    @property
    def is_unread(self) -> bool:
        """Whether it is a fleet that cannot be decoded."""
        return self.fleet is None and kind_of(self.raw) == FLEETS.kind

    @property
    def is_rendered(self) -> bool:
        """Whether an engine's plugin made the pods, from ``spec.serving``."""
        return self.fleet is not None and self.fleet.spec.serving is not None

    def starts_ray(self, group: Group) -> bool:
        """Whether Ray is started in the pods of a group, as far as the text of their Ray container tells."""
        words = container_words(group.ray_container)
        return not self.is_overwritten or any(start in word for word in words for start in _RAY_STARTS)

    @property
    def is_autoscaled(self) -> bool:
        """Whether Ray's autoscaler decides on the number of workers."""
        return has_autoscaler(self.spec)

    @property
    def accelerators(self) -> int:
        """Accelerators of one replica."""
        return sum(group.accelerators * group.pods for group in self.groups)

    def engines(self) -> Iterator[EngineCommand]:
        """Return the engines that the head's Ray container starts, as far as their plugins can read it."""
        return read_engines(self.head.ray_container, self.readers)

    @property
    def tells_all_flags(self) -> bool:
        """Whether no word of an engine's command is a variable or a substitution that nobody can read here."""
        container = self.head.ray_container
        return not any(
            "$" in word or "`" in word
            for words in simple_commands(container)
            if any(reader.read(words) is not None for reader in self.readers)
            for word in words
        )

    def pod_labels(self, group: Group) -> Mapping[str, str]:
        """Return the labels that pods of a group will have, but for those that depend on the Ray cluster's name."""
        kind = HEAD_NODE_TYPE if group.is_head else WORKER_NODE_TYPE
        own = {NODE_TYPE_LABEL: kind, GROUP_LABEL: "headgroup" if group.is_head else group.name}
        return {**_KUBERAY_LABELS, **labels_of(pod_template(group.raw)), FLEET_LABEL: self.name, **own}
