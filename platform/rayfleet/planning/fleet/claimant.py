"""What a fleet claims as its own. Pure."""

from collections.abc import Mapping

from rayfleet.manifest.fleet import serving_labels
from rayfleet.manifest.template import decode_selector
from rayfleet.model.fleet import Fleet, Selector
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import FLEETS
from rayfleet.objects.labels import FLEET_LABEL
from rayfleet.objects.meta import name_of
from rayfleet.objects.parts import part
from rayfleet.objects.selectors import selects
from rayfleet.planning.claims import Claimant


def fleet_claimant(fleet: Fleet) -> Claimant:
    """Return the fleet as a claimant of replica sets.

    Without a selector in its manifest it goes by its name alone: that of its model may change, and its replica sets
    stay its own.
    """
    selector, serving = fleet.spec.selector, fleet.spec.serving
    if serving is not None and selector.match_labels == serving_labels(fleet.meta, serving.served_model_name):
        selector = Selector(match_labels={FLEET_LABEL: fleet.meta.name})
    return Claimant(resource=FLEETS, meta=fleet.meta, selector=selector)


def might_claim(fleet: ReadOnlyJson, labels: Mapping[str, str]) -> bool:
    """Whether a fleet, as the API server gave it, selects these labels of a replica set."""
    selector = part(fleet, "spec", "selector")
    if not selector:
        return labels.get(FLEET_LABEL) == name_of(fleet)
    return selects(decode_selector(selector), labels)
