"""What to write so that a Service's EndpointSlice says what its pods are. Pure.

The garbage collector removes the slice of a Service that is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rayfleet.local.endpoints.slices import endpoint_slice, is_same_slice
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import ENDPOINT_SLICES
from rayfleet.objects.meta import is_terminating, labels_of
from rayfleet.objects.owners import owner_entries
from rayfleet.planning.plan import StatelessPlan
from rayfleet.planning.writes import Action, Create, Merge, Verb, permissions, ref_of

WRITES = permissions(ENDPOINT_SLICES, Verb.CREATE, Verb.PATCH)
"""All that a plan for a Service may write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedService:
    """A Service, the pods of its namespace, and what stands where its slice belongs."""

    service: ReadOnlyJson
    pods: Sequence[ReadOnlyJson]
    current: ReadOnlyJson | None = None


def plan_slice(observed: ObservedService, _now: datetime) -> StatelessPlan:
    """Return the write of the slice, if it has changed; a Service that goes, or has no selector, is left alone."""
    if is_terminating(observed.service):
        return StatelessPlan(status=None)
    desired = endpoint_slice(observed.service, observed.pods)
    if desired is None or (observed.current is not None and is_same_slice(observed.current, desired)):
        return StatelessPlan(status=None)
    return StatelessPlan(actions=(_write(observed.current, desired),), status=None)


def _write(current: ReadOnlyJson | None, desired: Json) -> Action:
    if current is None:
        return Create(resource=ENDPOINT_SLICES, manifest=desired)
    labels = {**dict.fromkeys(labels_of(current)), **labels_of(desired)}  # null takes a label off
    patch = {
        "metadata": {"labels": labels, "ownerReferences": owner_entries(desired)},
        "endpoints": desired["endpoints"],
        "ports": desired["ports"],
    }
    return Merge(resource=ENDPOINT_SLICES, ref=ref_of(current, at_this_version=True), patch=patch)
