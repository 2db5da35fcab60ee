"""What to write so that a Service's EndpointSlices say what its pods are. Pure.

The garbage collector removes the slices of a Service that is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rayfleet.local.endpoints.slices import endpoint_slices, is_same_slice, slice_name
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import ENDPOINT_SLICES
from rayfleet.objects.meta import is_terminating, labels_of, name_of
from rayfleet.objects.owners import owner_entries
from rayfleet.planning.plan import StatelessPlan
from rayfleet.planning.writes import Action, Create, Delete, Merge, Verb, permissions, ref_of

WRITES = permissions(ENDPOINT_SLICES, Verb.CREATE, Verb.PATCH, Verb.DELETE)
"""All that a plan for a Service may write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedService:
    """A Service, the pods of its namespace, its slices, and what stands where its main one belongs."""

    service: ReadOnlyJson
    pods: Sequence[ReadOnlyJson]
    main: ReadOnlyJson | None = None
    slices: Sequence[ReadOnlyJson] = ()


def plan_slices(observed: ObservedService, _now: datetime) -> StatelessPlan:
    """Return the writes of slices that have changed; a Service that goes, or has no selector, is left alone."""
    if is_terminating(observed.service):
        return StatelessPlan(status=None)
    desired = endpoint_slices(observed.service, observed.pods, observed.main)
    if not desired:
        return StatelessPlan(status=None)
    current = {name_of(each): each for each in observed.slices}
    if observed.main is not None:
        current[slice_name(name_of(observed.service))] = observed.main
    actions = [
        _write(current.get(name_of(each)), each)
        for each in desired
        if name_of(each) not in current or not is_same_slice(current[name_of(each)], each)
    ]
    left = current.keys() - {name_of(each) for each in desired}
    actions += [Delete(resource=ENDPOINT_SLICES, ref=ref_of(current[name])) for name in sorted(left)]
    return StatelessPlan(actions=tuple(actions), status=None)


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
