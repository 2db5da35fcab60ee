"""The sidecar for heads that a person wrote without one: an overlay on the template, made with a replica set. Pure.

A template is hashed and kept as it was written, so the overlay is no part of it: a new replica set notes the container
as JSON in an annotation, and each of its Ray clusters gets it. What runs is not touched, a replica set that is there
stays as it was made, and a rollback brings back what was written.

A head gets one where a plugin's reader finds exactly one engine in its command that can be asked for a token. Of an
engine that nobody knows nothing is known either: neither its health check nor how it generates, and a judge that asks
wrongly would keep a good replica out of service for ever. So no sidecar comes then; pre-flight says so. Neither does
one come where one is (ours, or aibrix_runtime), where the fleet wants none, or where its port is taken.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rayfleet.model.engine import EngineCommand
from rayfleet.model.fleet import Fleet
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.ports import OVERLAY_PORT
from rayfleet.objects.container_specs import container_image, container_name, container_words, declared_ports
from rayfleet.objects.images import image_reference
from rayfleet.objects.labels import OVERLAY_ANNOTATION, SIDECAR_ANNOTATION
from rayfleet.objects.parts import copied, entries, part, written_count
from rayfleet.objects.ray_spec import containers, head_group, native_sidecars, pod_spec
from rayfleet.objects.shell_commands import simple_commands
from rayfleet.planning.drain_hooks import grace_seconds
from rayfleet.planning.sidecar import SIDECAR_NAME, engine_flags, metric_flags, sidecar_container
from rayfleet.plugin.contracts import CommandReader

OWN_MARKS = (SIDECAR_NAME, "rayfleet/sidecar")
PEERS_MARKS = ("aibrix_runtime", "aibrix/runtime")
_NONE = "none"
_ENGINE_KEY = "INFERENCE_ENGINE_API_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """``container`` is what the heads of new replica sets get, None for nothing; then ``reason`` says why, in words."""

    container: Json | None = None
    reason: str = ""

    @property
    def note(self) -> str:
        """The text by which a replica set keeps it, empty for nothing."""
        return json.dumps(self.container, sort_keys=True, separators=(",", ":")) if self.container else ""


def sidecar_overlay(fleet: Fleet, readers: Sequence[CommandReader]) -> Overlay:
    """Return what the heads of a fleet get besides its template."""
    if fleet.spec.template is None:
        return Overlay(reason="spec.serving brings a sidecar")
    head = head_group(fleet.spec.template.spec)
    if fleet.meta.annotations.get(SIDECAR_ANNOTATION) == _NONE:
        return Overlay(reason=f"the fleet's annotation {SIDECAR_ANNOTATION} says {_NONE}")
    beside = (*containers(head)[1:], *native_sidecars(head).values())
    if any(runs_any(each, (*OWN_MARKS, *PEERS_MARKS)) for each in beside):
        return Overlay(reason="its head has one")
    engines = list(read_engines(next(iter(containers(head)), {}), readers))
    if len(engines) != 1:
        return Overlay(reason=f"no plugin knows {'which of them' if engines else 'the engine that'} its head starts")
    if OVERLAY_PORT in _taken_ports(head, engines[0]):
        return Overlay(reason=f"its port {OVERLAY_PORT} is taken")
    return _overlay_for(engines[0], head, grace_seconds(fleet.spec.drain.timeout_seconds))


def with_overlay(spec: ReadOnlyJson, note: str) -> ReadOnlyJson:
    """Return a RayCluster's spec with the container of a replica set's note; one that cannot be read adds nothing."""
    try:
        container = json.loads(note) if note else None
    except ValueError:
        return spec
    head = head_group(spec)
    name = container_name(container) if isinstance(container, dict) else ""
    if not name or any(container_name(each) == name for each in _all(head)):
        return spec
    written = copied(spec)
    part(written, "headGroupSpec", "template", "spec")["containers"] = [*containers(head), container]
    return written


def note_of(annotations: ReadOnlyJson) -> str:
    """Return a replica set's note, empty without one."""
    return str(annotations.get(OVERLAY_ANNOTATION) or "")


def read_engines(container: ReadOnlyJson, readers: Sequence[CommandReader]) -> Iterator[EngineCommand]:
    """Yield the engines that a container starts, as far as ``readers`` can tell."""
    for words in simple_commands(container):
        yield from (each for reader in readers if (each := reader.read(words)) is not None)


def runs_any(container: ReadOnlyJson, marks: Sequence[str]) -> bool:
    """Whether one of ``marks`` is in a container's command or in its image's name."""
    words = [*container_words(container), image_reference(container_image(container)).name]
    return any(mark in word for word in words for mark in marks)


def _overlay_for(engine: EngineCommand, head: ReadOnlyJson, linger_seconds: int) -> Overlay:
    probe = engine.probe
    if probe is None:
        return Overlay(reason=f"its {engine.engine} cannot be asked for a token from beside it")
    flags = [
        *engine_flags(engine.engine, probe),
        f"--linger-seconds={linger_seconds}",
        *metric_flags(probe.traffic, engine.metrics),
    ]
    variables = entries(next(iter(containers(head)), {}), "env")
    keys = (each for each in variables if engine.key_variable and container_name(each) == engine.key_variable)
    return Overlay(
        container=sidecar_container(OVERLAY_PORT, flags, tuple({**each, "name": _ENGINE_KEY} for each in keys))
    )


def _all(head: ReadOnlyJson) -> list[Json]:
    return [*containers(head), *entries(pod_spec(head), "initContainers")]


def _taken_ports(head: ReadOnlyJson, engine: EngineCommand) -> set[int]:
    declared = {port.number for container in _all(head) for port in declared_ports(container)}
    of_ray = {written_count(str(value)) for value in part(head, "rayStartParams").values()}
    return declared | {number for number in of_ray if number is not None} | {engine.port}
