"""Numbers that do not fit: accelerators, ranks, workers, surge. Pure."""

from collections.abc import Iterator

from rayfleet.manifest.checking import child_path
from rayfleet.model.fleet import Percent, StrategyType
from rayfleet.objects.container_specs import declared_ports
from rayfleet.objects.parts import part
from rayfleet.objects.pod_specs import required_nodes
from rayfleet.objects.ray_spec import INT32_MAX, group_replicas, pod_spec, worker_bounds
from rayfleet.plugin.model_split import known_shape
from rayfleet.plugin.split_check import split_lacks
from rayfleet.preflight.findings import Finding, Severity
from rayfleet.preflight.subject import Group, Subject

_HOST_LABEL = "kubernetes.io/hostname"


def ranks(subject: Subject) -> Iterator[Finding]:
    """Yield what does not fit between the engine's parallelism and the accelerators of a replica.

    Too few accelerators are an error: the engine waits for ever. Nothing is said of pods without accelerators, and not
    that some are unused where a flag is a variable that cannot be read.
    """
    places = subject.accelerators
    for command in subject.engines() if places else ():
        here = subject.head.container_path(0)
        product = f"tensor {command.tensor} x pipeline {command.pipeline} x data {command.data}"
        if command.ranks > places:
            message = (
                f"{product} needs {command.ranks} accelerators, but head and workers have {places}: the engine waits"
                " for ever; ask for more, or lower one of the three"
            )
            yield _error("parallelism", here, message)
        elif command.ranks < places and not subject.is_autoscaled and subject.tells_all_flags:
            message = f"{product} uses {command.ranks} accelerators of {places}: the others are held for nothing"
            yield Finding(rule="parallelism", path=here, message=message)
        per_pod = max(group.accelerators for group in subject.groups)
        if per_pod < command.tensor <= places:
            message = (
                f"tensor {command.tensor} spans pods with {per_pod} each: every layer waits for the network; a model"
                " that fits one pod wants more replicas, a larger one tensor within pods and pipeline across them"
            )
            yield Finding(rule="tensor-over-nodes", path=here, message=message)


def splits(subject: Subject) -> Iterator[Finding]:
    """Yield an error where a command splits a model as it cannot be split; of ``spec.serving`` others tell."""
    for command in subject.engines() if not subject.is_rendered else ():
        shape = known_shape(command.model) or subject.shapes.get(command.model)
        lacks = split_lacks(shape, command.tensor, command.pipeline, command.expert_ranks) if shape else ()
        for lack in lacks:
            yield _error("model-split", subject.head.container_path(0), f"{command.model} cannot be split so: {lack}")


def worker_ranges(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for each range of workers that does nothing, or that fights an engine of a fixed size."""
    command = next(subject.engines(), None)
    for group in subject.workers:
        low, high = worker_bounds(group.raw)
        count = group_replicas(group.raw)
        if subject.is_autoscaled and command is not None and low != high:
            message = (
                f"Ray's autoscaler may change the workers from {low} to {high}, but the engine {command.engine} has a"
                f" fixed size of {command.ranks} ranks: set minReplicas and maxReplicas to the same number, and scale"
                " spec.replicas"
            )
            yield Finding(rule="worker-range", path=f"{group.path}.maxReplicas", message=message)
        elif not subject.is_autoscaled and count < high < INT32_MAX:
            message = (
                f"{high} does nothing without enableInTreeAutoscaling: there are {count} workers; to serve more, raise"
                " spec.replicas"
            )
            yield Finding(rule="worker-range", path=f"{group.path}.maxReplicas", message=message)


def surge_of_one(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for one replica with accelerators whose rollout wants a second set of them."""
    fleet, bounds = subject.fleet, subject.bounds
    if fleet is None or bounds is None or not subject.accelerators:
        return
    strategy = fleet.spec.strategy
    if strategy.type is StrategyType.RECREATE or bounds.desired != 1 or bounds.unavailable or not bounds.surge:
        return
    written = Percent(value=25) in (strategy.max_surge, strategy.max_unavailable)
    message = (
        f"{'25 % of one replica is' if written else 'this is'} surge {bounds.surge} and unavailable 0: a rollout needs"
        f" {subject.accelerators} more accelerators, or waits; write maxSurge 0 and maxUnavailable 1 (what holds when"
        " nothing is written)"
    )
    yield Finding(rule="surge-of-one", path="spec.strategy.rollingUpdate", message=message)


def pinned_pods(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for each pod that can exist once only, of a fleet that has more than one replica at times."""
    most = subject.bounds.most if subject.bounds else 1
    for group in subject.groups if most > 1 else ():
        for path, what in _pins(group):
            message = (
                f"{what} ties the pod to one place, but a rollout has up to {most} replicas at once: the second stays"
                " Pending or takes the first one's name; leave it out, or roll with maxSurge 0 and one replica"
            )
            yield Finding(rule="pinned-pod", path=path, message=message)


def _pins(group: Group) -> Iterator[tuple[str, str]]:
    pod, here = pod_spec(group.raw), f"{group.path}.template.spec"
    for field in ("hostname", "nodeName", "hostNetwork"):
        if pod.get(field):
            yield f"{here}.{field}", field
    if _HOST_LABEL in part(pod, "nodeSelector"):
        yield child_path(f"{here}.nodeSelector", _HOST_LABEL), "the node's name"
    if len(required_nodes(pod)) == 1:
        yield f"{here}.affinity.nodeAffinity", "an affinity for one node"
    for place, container in enumerate(group.containers):
        for port in declared_ports(container):
            if port.host:
                yield f"{group.container_path(place)}.ports[{port.place}].hostPort", f"hostPort {port.host}"


def _error(rule: str, path: str, message: str) -> Finding:
    return Finding(rule=rule, path=path, message=message, severity=Severity.ERROR)
