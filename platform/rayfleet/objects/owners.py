"""Who owns and who controls an object, and the reference that a child carries. Pure.

The *controller* is the one owner that manages the object: children are chosen by its UID, never by labels. Source:
Kubernetes, "Owners and Dependents"; apimachinery ``pkg/apis/meta/v1/controller_ref.go`` (v1.36).
"""

from dataclasses import dataclass

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import ResourceType
from rayfleet.objects.parts import mapping, mappings


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerReference:
    """One owner; ``blocks_deletion`` holds a foreground deletion of the owner until this child is gone."""

    api_version: str
    kind: str
    name: str
    uid: str
    is_controller: bool = False
    blocks_deletion: bool = False

    @property
    def group(self) -> str:
        """The API group, empty for the core group; any version of it is the same object."""
        return self.api_version.rpartition("/")[0]


def owners_of(raw: ReadOnlyJson) -> tuple[OwnerReference, ...]:
    """Return all owners, in the order of the object."""
    return tuple(_decoded(entry) for entry in owner_entries(raw))


def controller_of(raw: ReadOnlyJson) -> OwnerReference | None:
    """Return the owner that manages the object, None without one."""
    return next((_decoded(entry) for entry in owner_entries(raw) if entry.get("controller")), None)


def controller_uid(raw: ReadOnlyJson) -> str | None:
    """Return the UID of the controller, None without one."""
    return next((str(entry.get("uid", "")) for entry in owner_entries(raw) if entry.get("controller")), None)


def is_controlled_by(raw: ReadOnlyJson, uid: str) -> bool:
    """Whether the object ``uid`` is the controller."""
    return controller_uid(raw) == uid


def controller_reference(resource: ResourceType, name: str, uid: str) -> Json:
    """Return the reference to a controller; it holds a foreground deletion of the owner until the child is gone."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def without_owners(manifest: ReadOnlyJson) -> Json:
    """Return a manifest without its owner references."""
    meta = {name: value for name, value in mapping(manifest.get("metadata")).items() if name != "ownerReferences"}
    return {**manifest, "metadata": meta}


def owner_entries(raw: ReadOnlyJson) -> list[Json]:
    """Return the references as they stand, for who writes them back changed."""
    return mappings(mapping(raw.get("metadata")).get("ownerReferences"))


def entries_without(raw: ReadOnlyJson, uid: str) -> list[Json]:
    """Return the references as they stand, but those to the owner ``uid``."""
    return [entry for entry in owner_entries(raw) if entry.get("uid") != uid]


def _decoded(entry: ReadOnlyJson) -> OwnerReference:
    return OwnerReference(
        api_version=entry.get("apiVersion", ""),
        kind=entry.get("kind", ""),
        name=entry.get("name", ""),
        uid=entry.get("uid", ""),
        is_controller=bool(entry.get("controller")),
        blocks_deletion=bool(entry.get("blockOwnerDeletion")),
    )
