"""What a controller tells of a fleet that it accepts, for those who sent it by another way than ours. Pure.

``kubectl apply`` knows no rules of ours, and the definition keeps the RayCluster spec open: so a misspelt field would
pass everybody without a word, and the replicas lack their workers, accelerators or probes.
"""

from collections.abc import Iterator

from rayfleet.model.events import EventType
from rayfleet.model.fleet import Fleet
from rayfleet.planning.writes import Event
from rayfleet.preflight.known_fields import unknown_in

_MOST = 5
"""Events of one fleet; who misspells more of them repairs these first."""


def misspelt_fields(fleet: Fleet) -> Iterator[Event]:
    """Yield a warning for each of the first fields of the template that KubeRay does not know; said once."""
    spec = fleet.spec.template.spec if fleet.spec.template is not None else {}
    for place, (path, message) in enumerate(unknown_in(spec, "spec.template.spec")):
        if place < _MOST:
            yield Event(type=EventType.WARNING, reason="UnknownField", message=f"{path}: {message}", is_said_once=True)
