"""The HTTPRoute of a model as it ought to be, and how an existing one differs. Pure.

What the fleets of a model do not agree on (Gateway, host names, paths, timeout) is as the oldest that says something
has it; where none does, as the controller's flags have it. The route lies beside its Services, so no ReferenceGrant is
needed; a Gateway in another namespace takes it by its listeners' ``allowedRoutes``. Source: Gateway API v1
``HTTPRoute``, with its limits (16 backends, 64 matches of a rule).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.policies import ParentGateway, Route, RouteDefaults
from rayfleet.model.resources import FLEETS, GATEWAYS, HTTP_ROUTES, SERVICES
from rayfleet.objects.labels import MODEL_LABEL, PROFILE_ANNOTATION, WEIGHED_ANNOTATION
from rayfleet.objects.meta import annotation
from rayfleet.objects.owners import OwnerReference, owner_entries, owners_of, without_owners
from rayfleet.objects.routes import has_hostnames
from rayfleet.objects.times import decode_time, encode_time
from rayfleet.planning.drift import drift_patch
from rayfleet.planning.model_name import model_labels
from rayfleet.planning.route.users import RouteUser

_MOST_BACKENDS = 16
_MOST_MATCHES = 64
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """A fleet with its weight in the route."""

    user: RouteUser
    weight: int


def parent_of(users: Sequence[RouteUser], defaults: RouteDefaults) -> ParentGateway:
    """Return the Gateway of the users' route, its namespace always named."""
    parent = _first_said(users, lambda route: route.parent) or defaults.parent
    namespace = parent.namespace or users[0].key.namespace
    return ParentGateway(name=parent.name, namespace=namespace, section_name=parent.section_name)


def hostnames_of(users: Sequence[RouteUser], defaults: RouteDefaults) -> tuple[str, ...]:
    """Return the host names of the users' route; empty: all."""
    return _first_said(users, lambda route: route.hostnames) or defaults.hostnames


def route_manifest(
    key: ObjectKey, backings: Sequence[Backing], defaults: RouteDefaults, weighed: datetime | None = None
) -> Json:
    """Return the route of fleets of one model and namespace, oldest first, at least one.

    ``weighed`` is when these weights were chosen, None where that is not to be noted.
    """
    users = [backing.user for backing in backings]
    timeout = _first_said(users, lambda route: route.timeout_seconds)
    seconds = defaults.timeout_seconds if timeout is None else timeout
    hostnames = hostnames_of(users, defaults)
    rule = {
        "matches": list(islice(_matches(users, defaults), _MOST_MATCHES)),
        "backendRefs": [_backend(backing) for backing in _kept(backings)],
        "timeouts": {"request": f"{seconds}s"},
    }
    return {
        "apiVersion": HTTP_ROUTES.api_version,
        "kind": HTTP_ROUTES.kind,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            **_naming(users, weighed),
            "ownerReferences": [_owner(user) for user in users],
        },
        "spec": {
            "parentRefs": [_parent(parent_of(users, defaults))],
            **({"hostnames": list(hostnames)} if hostnames else {}),
            "rules": [rule],
        },
    }


def route_patch(current: ReadOnlyJson, desired: ReadOnlyJson) -> Json:
    """Return the merge patch that makes our route as it ought to be; empty when it is.

    Host names, the profile and the fleets among the owners are ours as a whole; others' labels and owners stay.
    """
    patch = drift_patch(current, without_owners(desired))
    if has_hostnames(current) and not has_hostnames(desired):
        patch.setdefault("spec", {})["hostnames"] = None
    if annotation(current, PROFILE_ANNOTATION) and not annotation(desired, PROFILE_ANNOTATION):
        patch.setdefault("metadata", {}).setdefault("annotations", {})[PROFILE_ANNOTATION] = None
    if _fleets_of(current) != _fleets_of(desired):
        entries = zip(owners_of(current), owner_entries(current), strict=True)
        others = [entry for owner, entry in entries if not is_fleet(owner)]
        patch.setdefault("metadata", {})["ownerReferences"] = [*owner_entries(desired), *others]
    return patch


def weighed_at(route: ReadOnlyJson) -> datetime | None:
    """Return when the weights of our route were written last; None: not noted."""
    return decode_time(annotation(route, WEIGHED_ANNOTATION) or None)


def is_fleet(owner: OwnerReference) -> bool:
    """Whether an owner is a fleet."""
    return owner.kind == FLEETS.kind and owner.group == FLEETS.group


def is_ours(route: ReadOnlyJson) -> bool:
    """Whether a route is one that fleets own: all of ours are, and nobody else's."""
    return any(is_fleet(owner) for owner in owners_of(route))


def _fleets_of(route: ReadOnlyJson) -> frozenset[str]:
    return frozenset(owner.uid for owner in owners_of(route) if is_fleet(owner))


def _first_said(users: Sequence[RouteUser], field: Callable[[Route], T | None]) -> T | None:
    """Return what the oldest fleet says that says anything; an empty tuple says nothing."""
    values = (field(user.route) for user in users)
    return next((value for value in values if value is not None and value != ()), None)


def _matches(users: Sequence[RouteUser], defaults: RouteDefaults) -> Iterator[Json]:
    paths = _first_said(users, lambda route: route.paths) or defaults.paths
    custom = [path for user in users for path in user.paths]
    header = {"name": "model", "type": "Exact", "value": users[0].model}
    for path in dict.fromkeys((*paths, *custom)):
        yield {"headers": [header], "path": {"type": "PathPrefix", "value": path}}


def _kept(backings: Sequence[Backing]) -> Sequence[Backing]:
    """Return as many as a rule may have, those with requests first, in the order of age."""
    ranked = sorted(range(len(backings)), key=lambda index: (not backings[index].weight, index))
    return [backings[index] for index in sorted(ranked[:_MOST_BACKENDS])]


def _backend(backing: Backing) -> Json:
    user = backing.user
    return {"group": "", "kind": SERVICES.kind, "name": user.service, "port": user.port, "weight": backing.weight}


def _parent(parent: ParentGateway) -> Json:
    reference = {
        "group": GATEWAYS.group,
        "kind": GATEWAYS.kind,
        "name": parent.name,
        "namespace": parent.namespace,
    }
    return reference | ({"sectionName": parent.section_name} if parent.section_name else {})


def _naming(users: Sequence[RouteUser], weighed: datetime | None) -> Json:
    """Return labels and annotations: the model's name, as annotation where no label can hold it; the profile; the time.

    Neither is there without an entry: an API server keeps no empty ones, and what is written but not kept looks like
    drift for ever.
    """
    model = users[0].model
    labels = model_labels(model)
    noted = {} if labels else {MODEL_LABEL: model}
    profile = next(filter(None, (user.profile for user in users)), "")
    noted |= {PROFILE_ANNOTATION: profile} if profile else {}
    noted |= {WEIGHED_ANNOTATION: encode_time(weighed)} if weighed is not None else {}
    return {name: values for name, values in (("labels", labels), ("annotations", noted)) if values}


def _owner(user: RouteUser) -> Json:
    """Return the reference of one owner among several: the garbage collector deletes the route with the last."""
    return {"apiVersion": FLEETS.api_version, "kind": FLEETS.kind, "name": user.key.name, "uid": user.uid}
