"""How far the pod that warms a node up has come. Pure.

It is a help and no condition: one that ended, well or not, and one that its node has no place for, is waited for no
more. The exception is an image that cannot be had: the replica's kubelet would be refused it just so, and what serves
now would be gone for nothing. No replica is cut for it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.conditions import changed_at, is_false
from rayfleet.objects.meta import is_terminating
from rayfleet.objects.pods import is_finished, node_name, phase_of
from rayfleet.planning.replica.obstacles import Obstacle, failure_of, image_refusal, trouble_of

PLACELESS = timedelta(seconds=30)
"""So long a scheduler may find no place: our choice. A node that is cordoned or full gets no replica either."""


class Stage(Enum):
    """Where it stands."""

    UNDER_WAY = "UnderWay"
    IMAGE_REFUSED = "ImageRefused"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """``obstacle`` is what is in its way, if anything; ``look_again`` is when time alone changes the stage."""

    stage: Stage
    obstacle: Obstacle | None = None
    look_again: timedelta | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is waited for no more."""
        return self.stage in {Stage.SUCCEEDED, Stage.FAILED}


def standing_of(pod: ReadOnlyJson, now: datetime) -> Standing:
    """Return how far a pod has come; one that is being deleted is made again once it is gone."""
    if is_terminating(pod):
        return Standing(stage=Stage.UNDER_WAY)
    if is_finished(pod):
        is_well = phase_of(pod) == "Succeeded"
        return Standing(stage=Stage.SUCCEEDED) if is_well else Standing(stage=Stage.FAILED, obstacle=failure_of(pod))
    refusal = image_refusal(pod)
    if refusal is not None:
        return Standing(stage=Stage.IMAGE_REFUSED, obstacle=refusal)
    since = _placeless_since(pod)
    if since is None:
        return Standing(stage=Stage.UNDER_WAY)
    left = since + PLACELESS - now
    stage = Stage.UNDER_WAY if left > timedelta(0) else Stage.FAILED
    return Standing(stage=stage, obstacle=trouble_of(pod), look_again=left if left > timedelta(0) else None)


def _placeless_since(pod: ReadOnlyJson) -> datetime | None:
    return changed_at(pod, "PodScheduled") if is_false(pod, "PodScheduled") and not node_name(pod) else None
