"""The barrier between a controller's own writes and its next look: no pass acts on a store older than its last write.

Deterministic names make a repeated create harmless, but a scale decision from an old store could take back what was
just done. So for each key we remember what its passes wrote until the stores show it: a version of the kind, or that an
object is gone or going. The stores always get there (a reflector lists again when its watch fails), so there is no
time-out that would act on a guess. One case is different: a kind that turns out to be absent (its definition was
deleted, its Role taken away) after the write. Nobody will ever see that write, and nobody waits for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rayfleet.kube.reflector import Reflector
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import is_terminating, uid_of, version_of


@dataclass(frozen=True, slots=True, kw_only=True)
class WroteVersion:
    """An object of ``resource`` has this version now."""

    resource: ResourceType
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedDeletion:
    """The object ``uid`` at ``key`` is gone or has a deletionTimestamp now."""

    resource: ResourceType
    key: ObjectKey
    uid: str


Written = WroteVersion | AskedDeletion


def wrote(resource: ResourceType, stored: ReadOnlyJson) -> WroteVersion:
    """Return what a store must show after the server answered ``stored``. Pure."""
    return WroteVersion(resource=resource, version=version_of(stored))


class OwnWrites:
    """What each key's passes wrote and the stores do not show yet. Kinds without a reflector are not waited for."""

    def __init__(self, reflectors: Mapping[ResourceType, Reflector]) -> None:
        self._reflectors = reflectors
        self._unseen: dict[ObjectKey, dict[Written, int]] = {}  # with the looks begun when it was written

    def note(self, key: ObjectKey, written: Written) -> None:
        """Remember a write of a pass for ``key``; it shows that its kind is there, so an absent one is looked for."""
        reflector = self._reflectors.get(written.resource)
        if reflector is None:
            return
        self._unseen.setdefault(key, {})[written] = reflector.looks
        if reflector.absence is not None:
            reflector.poke()

    def are_seen(self, key: ObjectKey) -> bool:
        """Whether the stores show all that passes for ``key`` wrote; forgets what they show."""
        unseen = self._unseen.get(key, {})
        left = {written: look for written, look in unseen.items() if not self._is_over(written, look)}
        if left:
            self._unseen[key] = left
            return False
        self._unseen.pop(key, None)
        return True

    def _is_over(self, written: Written, look: int) -> bool:
        reflector = self._reflectors[written.resource]
        if reflector.is_given_up(look):
            return True
        if isinstance(written, WroteVersion):
            return reflector.has_seen(written.version)
        stored = reflector.store.get(written.key)
        return stored is None or uid_of(stored) != written.uid or is_terminating(stored)
