"""How many replicas of a fleet an eviction may take at once: a PodDisruptionBudget on its head pods. Pure.

As many must stay as the rollout's bounds say, but one may always go: a node that is drained waits for no replica that
cannot be moved (a fleet of one has no budget, as a Deployment of one with ``maxUnavailable`` 1). It says
``minAvailable`` and not ``maxUnavailable``: the disruption controller asks the pods' controller for its scale, and a
RayCluster has none. Heads that are not ready may always be evicted. Source: Kubernetes, "Specifying a Disruption
Budget" (policy/v1).
"""

from collections.abc import Iterator

from rayfleet.model.json import Json
from rayfleet.model.resources import DISRUPTION_BUDGETS, FLEETS
from rayfleet.objects.labels import FLEET_LABEL, HEAD_NODE_TYPE, NODE_TYPE_LABEL
from rayfleet.objects.meta import name_of
from rayfleet.objects.owners import controller_reference, without_owners
from rayfleet.planning.drift import drift_patch
from rayfleet.planning.fleet.bounds import Bounds
from rayfleet.planning.names import service_name
from rayfleet.planning.observed import ObservedFleet
from rayfleet.planning.writes import Action, Create, Delete, Merge, ref_of


def least_undisturbed(bounds: Bounds) -> int:
    """Return how many head pods an eviction must leave: of 4 with unavailable 1 or 0 it is 3, of 1 it is 0."""
    return max(0, bounds.desired - max(1, bounds.unavailable))


def budget_actions(observed: ObservedFleet, bounds: Bounds) -> Iterator[Action]:
    """Yield what to write so that the fleet's budget is as it ought to be; one that holds nothing back is none."""
    if DISRUPTION_BUDGETS in observed.absences:  # what cannot be read is not written
        return
    name, least = service_name(observed.fleet.meta), least_undisturbed(bounds)
    current = next((budget for budget in observed.budgets if name_of(budget) == name), None)
    if not least:
        yield from (Delete(resource=DISRUPTION_BUDGETS, ref=ref_of(budget)) for budget in observed.budgets)
        return
    desired = budget_manifest(observed, least)
    if current is None:
        yield Create(resource=DISRUPTION_BUDGETS, manifest=desired)
    elif patch := drift_patch(current, without_owners(desired)):
        yield Merge(resource=DISRUPTION_BUDGETS, ref=ref_of(current), patch=patch)


def budget_manifest(observed: ObservedFleet, least: int) -> Json:
    """Return the fleet's budget as it ought to be."""
    meta = observed.fleet.meta
    return {
        "apiVersion": DISRUPTION_BUDGETS.api_version,
        "kind": DISRUPTION_BUDGETS.kind,
        "metadata": {
            "name": service_name(meta),
            "namespace": meta.namespace,
            "labels": {FLEET_LABEL: meta.name},
            "ownerReferences": [controller_reference(FLEETS, meta.name, meta.uid)],
        },
        "spec": {
            "minAvailable": least,
            "selector": {"matchLabels": {FLEET_LABEL: meta.name, NODE_TYPE_LABEL: HEAD_NODE_TYPE}},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
