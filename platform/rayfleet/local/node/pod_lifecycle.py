"""A pod's life: whose turn it is, how long its end may take, and when it is over. Pure.

Init containers one after the other, each until it has succeeded; then the others side by side. At the end all of them
end at once, and a deleted pod is removed when nothing of it is left. Source: Kubernetes 1.36, "Pod Lifecycle" and "Init
Containers"; the kubelet's kuberuntime_manager.go (computePodActions) and pod_workers.go.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rayfleet.local.node.lifecycle import ContainerPolicy, EndAsked, is_gone
from rayfleet.local.node.probes import probe_specs
from rayfleet.local.node.views import ContainerView, Fate, PodView
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import part

DEFAULT_GRACE_SECONDS = 30
# A preStop hook that used up the grace leaves SIGTERM a moment all the same (minimumGracePeriodInSeconds).
LAST_MOMENT = timedelta(seconds=2)
# A pod whose object is gone is ended without the grace that nobody gave it.
VANISHED_GRACE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The lives of these containers go on, or begin; the others wait for their turn."""

    containers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Everything has ended; the object stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Everything has ended: what the pod had on this machine goes, then its object."""


PodStep = Live | Leave | Remove


def next_pod_step(view: PodView) -> PodStep:
    """Return what is to be done with the pod now."""
    if view.fate is Fate.LIVES:
        return Live(containers=tuple(container.name for container in _due(view)))
    if not all(is_gone(container) for container in view.everything):
        return Live(containers=tuple(container.name for container in view.everything))
    return Remove() if view.fate is Fate.DELETED else Leave()


def container_policy(pod: ReadOnlyJson, container: ReadOnlyJson, *, is_init: bool) -> ContainerPolicy:
    """Return what the pod's spec says of a container's life: an init container that succeeded never runs again."""
    spec = pod["spec"]
    restart = spec.get("restartPolicy", "Always")
    return ContainerPolicy(
        restart="OnFailure" if is_init and restart == "Always" else restart,
        is_init=is_init,
        probes=frozenset(probe_specs(container)),
        has_pre_stop=bool(part(container, "lifecycle").get("preStop")),
        grace=timedelta(seconds=spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)),
    )


def deletion_grace(pod: ReadOnlyJson) -> timedelta:
    """Return what the pod's deletion leaves it, as its object keeps it; else what its spec gives."""
    seconds = part(pod, "metadata").get("deletionGracePeriodSeconds")
    if seconds is None:
        seconds = pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
    return timedelta(seconds=seconds)


def end_within(grace: timedelta, now: datetime) -> EndAsked:
    """Return the word to a pod's containers that they have ``grace`` from now; none of it means none at all."""
    return EndAsked(by=now + grace, least=LAST_MOMENT if grace else timedelta(0))


def end_of_vanished(now: datetime) -> EndAsked:
    """Return the word to the containers of a pod whose object is gone."""
    return EndAsked(by=now + VANISHED_GRACE)


def _due(view: PodView) -> tuple[ContainerView, ...]:
    waiting = next((container for container in view.init_containers if not container.has_succeeded), None)
    return view.containers if waiting is None else (waiting,)
