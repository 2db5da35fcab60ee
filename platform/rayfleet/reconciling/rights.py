"""Which right a refused write lacks, where the server's words leave that out. Pure.

RBAC's own refusals name the verb and the resource. Those of the admission that guards owners (OpenShift always has it)
do not: who makes a child that blocks the deletion of its owner needs ``update`` on the finalizers of the owner's kind,
who changes owners needs ``delete`` on the child. Source: Kubernetes ``plugin/pkg/admission/gc/gc_admission.go``, the
words ``plugin/pkg/auth/authorizer/rbac/rbac.go`` (v1.36).
"""

from collections.abc import Iterator

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import FLEETS, REPLICA_SETS
from rayfleet.objects.owners import owners_of
from rayfleet.planning.writes import Action, Create, CreateTogether, Merge

_BLOCKS = "cannot set blockOwnerDeletion"
_OWNED = "cannot set an ownerRef on a resource you can't delete"
_OWNERS = {(each.group, each.kind): each for each in (FLEETS, REPLICA_SETS)}


def refusal_words(action: Action, message: str) -> str:
    """Return the server's words for a refused write, ended by the right that is missing where they do not name it."""
    return "; ".join([message, *_missing(action, message)])


def _missing(action: Action, message: str) -> Iterator[str]:
    if _BLOCKS in message:
        for owner in owners_of(_written(action)):
            resource = _OWNERS.get((owner.group, owner.kind))
            if owner.blocks_deletion and resource is not None:
                yield _words("update", f"{resource.plural}/finalizers", resource.group)
    elif _OWNED in message:
        yield _words("delete", action.resource.plural, action.resource.group)


def _words(verb: str, resource: str, group: str) -> str:
    return f'cannot {verb} resource "{resource}" in API group "{group}"'


def _written(action: Action) -> ReadOnlyJson:
    """Return what an action writes of an object, one of several; nothing for one that writes no owners."""
    match action:
        case Create(manifest=manifest):
            return manifest
        case CreateTogether(manifests=manifests):
            return manifests[0]
        case Merge(patch=patch):
            return patch
        case _:
            return {}
