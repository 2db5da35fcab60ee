"""Which children an owner takes and which it lets go. Pure.

By controller and selector, at both levels: of a fleet its replica sets, of a replica set its Ray clusters. A child that
we control and that our selector no longer selects is let go; one that nobody controls and that it selects is taken; one
that another controls is never touched, nor one that is on its way out. Whoever takes one must have asked the server for
the owner first: a store may not know yet that it is gone. Source: Kubernetes, ``controller_ref_manager.go``
(``ClaimObject``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rayfleet.model.fleet import Selector
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import is_terminating, labels_of
from rayfleet.objects.owners import controller_reference, controller_uid, entries_without, owner_entries
from rayfleet.objects.selectors import selects
from rayfleet.planning.writes import NAME_MARK, Event, Merge, ref_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """An owner that claims children of its own namespace; an empty ``selector`` claims nothing."""

    resource: ResourceType
    meta: ObjectMeta
    selector: Selector

    @property
    def may_claim(self) -> bool:
        """Whether it claims at all: it is not on its way out, and says what is its own."""
        has_selector = bool(self.selector.match_labels or self.selector.match_expressions)
        return has_selector and self.meta.deleted_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Children as the API server gave them: those to take, and those to let go."""

    taken: tuple[ReadOnlyJson, ...] = ()
    let_go: tuple[ReadOnlyJson, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.taken or self.let_go)


def claims_of(claimant: Claimant, owned: Sequence[ReadOnlyJson], orphans: Sequence[ReadOnlyJson]) -> Claims:
    """Return what changes hands: of ``owned`` (by the claimant) and of ``orphans`` (of the namespace)."""
    if not claimant.may_claim:
        return Claims()
    selector = claimant.selector
    return Claims(
        taken=tuple(each for each in orphans if _is_free(each) and selects(selector, labels_of(each))),
        let_go=tuple(each for each in owned if not is_terminating(each) and not selects(selector, labels_of(each))),
    )


def claim_writes(claimant: Claimant, claims: Claims, resource: ResourceType) -> Iterator[Merge]:
    """Yield the writes, of exactly the children that were seen; ``resource`` is their kind."""
    for child in claims.taken:
        reference = controller_reference(claimant.resource, claimant.meta.name, claimant.meta.uid)
        yield _owned_by(resource, child, [*owner_entries(child), reference], "Adopted")
    for child in claims.let_go:
        yield _owned_by(resource, child, entries_without(child, claimant.meta.uid), "Released")


def _owned_by(resource: ResourceType, child: ReadOnlyJson, owners: list[Json], reason: str) -> Merge:
    event = Event(reason=reason, message=f"{reason} {resource.kind} {NAME_MARK}")
    patch: Json = {"metadata": {"ownerReferences": owners}}
    return Merge(resource=resource, ref=ref_of(child, at_this_version=True), patch=patch, event=event)


def _is_free(child: ReadOnlyJson) -> bool:
    return not is_terminating(child) and controller_uid(child) is None
