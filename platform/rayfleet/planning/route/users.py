"""A fleet as a route sees it: which model it names, how it wants it routed, where its requests go. Pure.

Read from the object as it is, without what a valid manifest asks for: a fleet that is not accepted any more serves on.
What AIBrix's route controller reads of a fleet is honoured: ``model.aibrix.ai/{name,port,service-name,
model-router-custom-paths}`` (AIBrix 0.8, ``pkg/controller/modelrouter``).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from rayfleet.manifest.policies import decode_route
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.policies import Route
from rayfleet.model.ports import ENGINE_PORT
from rayfleet.objects.conditions import message_of, reason_of
from rayfleet.objects.fleets import available_replicas
from rayfleet.objects.labels import (
    MODEL_PATHS_ANNOTATION,
    MODEL_PORT_LABEL,
    MODEL_SERVICE_ANNOTATION,
    PROFILE_ANNOTATION,
)
from rayfleet.objects.meta import annotation, created_at, decode_meta, is_terminating, key_of, label, uid_of
from rayfleet.objects.parts import part, written_count
from rayfleet.planning.model_name import model_of
from rayfleet.planning.names import route_name, service_name

ROUTED = "Routed"
REFUSED = "RouteRefused"
"""The reason of ``Routed`` that the route's own controller writes, and takes back."""
_UNREAD = frozenset({"resourceVersion", "generation", "managedFields"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteUser:
    """One fleet of a model. ``service`` and ``port`` are its backend; ``is_own_service``: the one that we make.

    ``paths`` and ``profile`` are what its annotations add. ``available`` counts Ray clusters. ``refusal`` is what the
    fleet's status says of a refused write of its route.
    """

    key: ObjectKey
    uid: str
    created: float
    model: str
    route: Route
    paths: tuple[str, ...]
    profile: str
    service: str
    port: int
    is_own_service: bool
    available: int
    is_going: bool
    refusal: str
    raw: ReadOnlyJson = field(compare=False)

    @property
    def wants_route(self) -> bool:
        """Whether there ought to be a route for it."""
        return self.route.enabled and not self.is_going

    @property
    def age(self) -> tuple[float, str, str]:
        """Return what sorts fleets: the oldest first."""
        return self.created, self.key.namespace, self.key.name


def route_user(raw: ReadOnlyJson) -> RouteUser | None:
    """Return a fleet as its route sees it; None for one that names no model."""
    model = model_of(raw)
    if model is None:
        return None
    meta, created = decode_meta(raw), created_at(raw)
    service = annotation(raw, MODEL_SERVICE_ANNOTATION)
    return RouteUser(
        key=key_of(raw),
        uid=uid_of(raw),
        created=created.timestamp() if created else float("inf"),
        model=model,
        route=decode_route(part(raw, "spec", "route")),
        paths=_custom_paths(raw),
        profile=annotation(raw, PROFILE_ANNOTATION),
        service=service or service_name(meta),
        port=port_of(raw) if service else ENGINE_PORT,
        is_own_service=not service,
        available=available_replicas(raw),
        is_going=is_terminating(raw),
        refusal=_refusal(raw),
        raw=raw,
    )


def in_order_of_age(users: Iterable[RouteUser | None]) -> tuple[RouteUser, ...]:
    """Return those that there are, oldest first."""
    return tuple(sorted((user for user in users if user is not None), key=lambda user: user.age))


def bears_on_routes(old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> bool:
    """Whether a change of a fleet says anything new to its route."""
    if old is None or new is None:
        return True
    return _looked_at(old) != _looked_at(new) and route_user(old) != route_user(new)


def names_of_route(fleet: ReadOnlyJson) -> Iterable[str]:
    """Yield the name of the route that a fleet has part in: an index of fleets."""
    model = model_of(fleet)
    if model is not None:
        yield route_name(model)


def port_of(fleet: ReadOnlyJson) -> int:
    """Return the port that ``model.aibrix.ai/port`` names on template or fleet, else 8000."""
    return port_named(label(part(fleet, "spec", "template"), MODEL_PORT_LABEL) or label(fleet, MODEL_PORT_LABEL))


def port_named(text: str) -> int:
    """Return the port that a label's value names, 8000 when it names none."""
    return written_count(text, most=2**16 - 1) or ENGINE_PORT


def _looked_at(raw: ReadOnlyJson) -> tuple[object, ...]:
    """Return all that ``route_user`` reads of a version of a fleet, as it stands: quick to be compared."""
    meta = {name: value for name, value in part(raw, "metadata").items() if name not in _UNREAD}
    return meta, part(raw, "spec"), available_replicas(raw), _refusal(raw)


def _custom_paths(raw: ReadOnlyJson) -> tuple[str, ...]:
    """Return the path prefixes that a fleet's annotation adds, in its order."""
    words = (word.strip() for word in annotation(raw, MODEL_PATHS_ANNOTATION).split(","))
    return tuple(word for word in words if word.startswith("/"))


def _refusal(raw: ReadOnlyJson) -> str:
    return message_of(raw, ROUTED) if reason_of(raw, ROUTED) == REFUSED else ""
