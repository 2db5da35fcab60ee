"""A fleet as its manifest alone says it: decoded, with its template, its identity and what is to be told of it.

All of that changes with its spec and its labels, and nearly every version of a fleet differs in its status alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rayfleet.manifest.fleet import decode_fleet, renewed_fleet
from rayfleet.model.fleet import Fleet, RayClusterTemplate
from rayfleet.model.json import ReadOnlyJson
from rayfleet.planning.fleet.identity import fleet_identity
from rayfleet.planning.overlay import sidecar_overlay
from rayfleet.planning.render import fleet_template
from rayfleet.planning.writes import Event
from rayfleet.plugin.contracts import CommandReader, Engine
from rayfleet.preflight.telling import misspelt_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSource:
    """What one version of a fleet says; ``overlay`` as in ObservedFleet; ``notes`` are told once a generation."""

    fleet: Fleet
    template: RayClusterTemplate
    identity: str
    overlay: str
    notes: tuple[Event, ...]


@dataclass(frozen=True, slots=True, eq=False)
class FleetSources:
    """Reads fleets; a store remembers what is read (``Store.decoded``).

    ``engines`` render ``spec.serving``, ``readers`` know the engine of a template that a person wrote.
    """

    engines: Mapping[str, Engine]
    readers: Sequence[CommandReader] = ()

    def decoded(self, raw: ReadOnlyJson) -> FleetSource:
        """Return what a fleet says. Raises ManifestError."""
        fleet = decode_fleet(raw)
        template = fleet_template(fleet, self.engines)
        return FleetSource(
            fleet=fleet,
            template=template,
            identity=fleet_identity(fleet, template),
            overlay=sidecar_overlay(fleet, self.readers).note,
            notes=tuple(misspelt_fields(fleet)),
        )


def renewed_source(source: FleetSource, before: ReadOnlyJson, after: ReadOnlyJson) -> FleetSource | None:
    """Return what ``after`` says where ``source``, read from ``before``, says all but its status; else None."""
    fleet = renewed_fleet(source.fleet, before, after)
    return replace(source, fleet=fleet) if fleet is not None else None
