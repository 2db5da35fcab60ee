"""What can be asked of an API server, as values: requests, their paths, forms of a patch, ways of a deletion. Pure.

``client`` sends them. Source: Kubernetes API reference, "Common parameters", "API concepts".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import ResourceType

FIELD_MANAGER = "rayfleet"
JsonPatch = ReadOnlyJson | Sequence[ReadOnlyJson]


class PatchForm(StrEnum):
    """The forms of a patch; the value is the content type."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What goes over the wire; ``path`` is below the address, with everything quoted.

    ``is_talk``: of an Event, which has a rate of its own and keeps no work waiting.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"
    accept: str = "application/json"
    is_talk: bool = False


def collection_path(resource: ResourceType, namespace: str | None, *, is_strict: bool = False) -> str:
    """Return the URL path of a collection; namespace None means all. Pure.

    Raises ValueError when ``is_strict`` and a namespaced resource has no namespace: that is a bug of the caller.
    """
    if resource.is_namespaced and namespace:
        return f"{resource.base_path}/namespaces/{quote(namespace, safe='')}/{resource.plural}"
    if resource.is_namespaced and is_strict:
        raise ValueError(f"{resource.kind} is namespaced: which namespace?")
    return f"{resource.base_path}/{resource.plural}"


def object_path(resource: ResourceType, name: str, namespace: str | None, subresource: str = "") -> str:
    """Return the URL path of an object or of its subresource. Pure. Raises ValueError without a namespace or name."""
    if not name:
        raise ValueError(f"{resource.kind} without a name")
    path = f"{collection_path(resource, namespace, is_strict=True)}/{quote(name, safe='')}"
    return f"{path}/{subresource}" if subresource else path


def selector_query(label_selector: str, field_selector: str) -> dict[str, str]:
    """Return the query of a list or watch that wants some objects only. Pure."""
    chosen = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in chosen.items() if value}
