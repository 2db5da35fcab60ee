"""Facts of a fleet as it is stored, for who does not decode it: an invalid one has them too. Pure."""

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import mapping, whole_number


def desired_replicas(fleet: ReadOnlyJson) -> int:
    """Return how many Ray clusters are asked for; one when the fleet does not say."""
    return whole_number(mapping(fleet.get("spec")).get("replicas"), 1)


def is_paused(fleet: ReadOnlyJson) -> bool:
    """Whether rollouts of the fleet wait."""
    return mapping(fleet.get("spec")).get("paused") is True
