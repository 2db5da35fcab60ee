"""Facts of a fleet as it is stored, for who does not decode it: an invalid one has them too. Pure."""

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import mapping, part, whole_number


def desired_replicas(fleet: ReadOnlyJson) -> int:
    """Return how many Ray clusters are asked for; one when the fleet does not say."""
    return whole_number(mapping(fleet.get("spec")).get("replicas"), 1)


def is_paused(fleet: ReadOnlyJson) -> bool:
    """Whether rollouts of the fleet wait."""
    return mapping(fleet.get("spec")).get("paused") is True


def available_replicas(fleet: ReadOnlyJson) -> int:
    """Return how many of its Ray clusters are available, by its status."""
    return whole_number(part(fleet, "status").get("availableReplicas"), 0)


def served_model_name(fleet: ReadOnlyJson) -> str:
    """Return the name that ``spec.serving`` gives its model, empty without one."""
    return str(part(fleet, "spec", "serving").get("servedModelName") or "")


def model_reference(fleet: ReadOnlyJson) -> str:
    """Return the model that ``spec.serving`` names, empty without one."""
    return str(part(fleet, "spec", "serving").get("model") or "")


def has_serving(fleet: ReadOnlyJson) -> bool:
    """Whether the fleet names its model by ``spec.serving``."""
    return bool(part(fleet, "spec", "serving"))
