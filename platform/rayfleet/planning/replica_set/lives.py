"""Lives of a replica's pods: what an engine holds in them lives only once. Pure.

A life is the UID of a pod and the container that Ray runs in. When a replica gets ready its lives are noted in its
status as short hashes, ``HEAD/WORKER,WORKER`` of ``pod.container`` each. Counts come back after a loss, lives do not:
KubeRay calls a replica ready again as soon as a worker's container was restarted, while the engine's rank in it is gone
(vllm#16259, vllm#53157). That the engine lives again is proved by its head: it turned ready after the youngest of the
new lives had begun. A note may come seconds after a replica got ready; of one that broke before it, what began after
that moment is no life that was ready.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.conditions import changed_at
from rayfleet.objects.containers import ContainerEnd, ContainerLife, container_lives, started_at
from rayfleet.objects.meta import created_at, name_of
from rayfleet.objects.pods import is_head, is_ready, life_of

_NEVER = datetime.max.replace(tzinfo=UTC)


class Loss(Enum):
    """What of the lives that were noted is gone."""

    NOTHING = "nothing"
    WORKERS = "workers"
    HEAD_CONTAINER = "head container"
    HEAD_POD = "head pod"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The end of a pod's Ray container."""

    pod: str
    end: ContainerEnd


def loss_since(noted: str, pods: Sequence[ReadOnlyJson]) -> Loss:
    """Return what is lost of the lives that were noted (not empty); pods that came to them are no loss."""
    head, workers = _split(noted)
    lives = {life_of(pod) for pod in pods}
    if head <= lives:
        return Loss.NOTHING if workers <= lives else Loss.WORKERS
    is_same_pod = _pods(head) <= _pods(lives)
    if not (workers & lives) and (is_same_pod or not _have_another_head(pods)):
        return Loss.EVERYTHING
    return Loss.HEAD_CONTAINER if is_same_pod else Loss.HEAD_POD


def loss_after(ready_at: datetime, expected_workers: int, pods: Sequence[ReadOnlyJson]) -> Loss:
    """Return what is lost of lives that nobody noted, all of which had begun when all pods were ready, at that time.

    As ``loss_since``: one that has ended and not begun again is no loss yet.
    """
    old = [pod for pod in pods if not _is_younger(_started(pod), ready_at) and not _is_made_after(pod, ready_at)]
    old_workers = [pod for pod in old if not is_head(pod)]
    if any(is_head(pod) for pod in old):
        return Loss.NOTHING if len(old_workers) >= expected_workers else Loss.WORKERS
    is_same_pod = any(is_head(pod) and not _is_made_after(pod, ready_at) for pod in pods)
    if not old_workers and (is_same_pod or not _have_another_head(pods)):
        return Loss.EVERYTHING
    return Loss.HEAD_CONTAINER if is_same_pod else Loss.HEAD_POD


def youngest_start(noted: str, pods: Sequence[ReadOnlyJson]) -> datetime | None:
    """Return when the youngest life that was not noted began; None when one of them has not, or there is none."""
    head, workers = _split(noted)
    starts = [_started(pod) for pod in pods if life_of(pod) not in head | workers]
    known = [start for start in starts if start is not None]
    return max(known) if known and len(known) == len(starts) else None


def is_proved(noted: str, pods: Sequence[ReadOnlyJson]) -> bool:
    """Whether the head turned ready after the youngest of the lives that were not noted had begun."""
    start = youngest_start(noted, pods)
    turned = next((changed_at(pod, "Ready") for pod in pods if is_head(pod) and is_ready(pod)), None)
    return start is not None and turned is not None and turned >= start


def first_death(noted: str, pods: Sequence[ReadOnlyJson]) -> Death | None:
    """Return how the first of the noted lives ended, as far as the pods still tell; None when none of them does."""
    head, workers = _split(noted)
    others = [pod for pod in pods if life_of(pod) not in head | workers]
    deaths = [Death(pod=name_of(pod), end=end) for pod in others for end in _ends(pod)]
    return min(deaths, key=lambda death: (death.end.at or _NEVER, death.pod), default=None)


def _split(noted: str) -> tuple[set[str], set[str]]:
    head, _, workers = noted.partition("/")
    return set(filter(None, head.split(","))), set(filter(None, workers.split(",")))


def _pods(tokens: set[str]) -> set[str]:
    return {token.partition(".")[0] for token in tokens}


def _have_another_head(pods: Sequence[ReadOnlyJson]) -> bool:
    """Whether workers run that began before the head pod was made: what they belong to is gone with another head."""
    made = max((time for pod in pods if is_head(pod) and (time := created_at(pod)) is not None), default=_NEVER)
    starts = (_started(pod) for pod in pods if not is_head(pod))
    return any(start is not None and start < made for start in starts)


def _is_made_after(pod: ReadOnlyJson, time: datetime) -> bool:
    return _is_younger(created_at(pod), time)


def _is_younger(start: datetime | None, time: datetime) -> bool:
    return start is not None and start > time


def _ray_container(pod: ReadOnlyJson) -> ContainerLife | None:
    return next(iter(container_lives(pod)), None)


def _started(pod: ReadOnlyJson) -> datetime | None:
    container = _ray_container(pod)
    return started_at(pod, container) if container is not None else None


def _ends(pod: ReadOnlyJson) -> list[ContainerEnd]:
    container = _ray_container(pod)
    ends = (container.end, container.last_end) if container is not None else ()
    return [end for end in ends if end is not None and end.at is not None]
