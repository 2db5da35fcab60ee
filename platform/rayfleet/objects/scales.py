"""Facts of a Scale (autoscaling/v1), which stands for an object's number of replicas. Pure."""

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import part, whole_number


def replicas_of_scale(raw: ReadOnlyJson) -> int:
    """Return how many replicas are asked for; 0 where nobody says."""
    return whole_number(part(raw, "spec").get("replicas"), 0)
