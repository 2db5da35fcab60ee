"""Owner references. Pure."""

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.resources import ResourceType
from rayfleet.objects.parts import mapping


def owner_reference(resource: ResourceType, owner: ObjectMeta) -> Json:
    """Return the controller reference of a child.

    It holds a foreground deletion of the owner until the child is gone.
    """
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_owned_by(raw: ReadOnlyJson, owner: ObjectMeta) -> bool:
    """Whether ``owner`` is the controller of an object."""
    references = mapping(raw.get("metadata")).get("ownerReferences") or ()
    return any(item.get("uid") == owner.uid and item.get("controller") for item in references)
