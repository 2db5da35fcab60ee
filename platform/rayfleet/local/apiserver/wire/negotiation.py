"""Which representation a client wants, by its Accept header.

Pure. JSON is the only format; what varies is what the JSON shows.
"""

from dataclasses import dataclass
from enum import Enum

from rayfleet.local.apiserver.grammar.refusal import not_acceptable

JSON = "application/json"
_META = "meta.k8s.io"


class View(Enum):
    """What of an object is shown."""

    WHOLE = "whole"
    TABLE = "Table"
    METADATA = "PartialObjectMetadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaType:
    """One alternative of an Accept header; parameter names in lower case."""

    name: str
    parameters: dict[str, str]


def media_types(accept: str) -> list[MediaType]:
    """Return the alternatives, best first (by ``q``, then by order)."""
    alternatives = []
    for part in (accept or "*/*").split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        pairs = dict(piece.split("=", 1) for piece in parameters if "=" in piece)
        alternatives.append(
            MediaType(
                name=name.lower(), parameters={key.strip().lower(): value.strip() for key, value in pairs.items()}
            )
        )
    return sorted(alternatives, key=lambda each: -_quality(each))


def view_of(accept: str, *, is_list: bool = False) -> View:
    """Return the view that the first alternative we speak asks for. Raises Refusal (406) when we speak none."""
    for each in media_types(accept):
        if not _is_json(each):
            continue
        view = each.parameters.get("as", "")
        if not view:
            return View.WHOLE
        if each.parameters.get("g", _META) != _META or each.parameters.get("v", "v1") != "v1":
            continue
        if view == "Table":
            return View.TABLE
        if view in ("PartialObjectMetadata", "PartialObjectMetadataList") and view.endswith("List") is is_list:
            return View.METADATA
    raise not_acceptable([JSON])


def aggregated_discovery_version(accept: str) -> str:
    """Return ``v2`` or ``v2beta1`` when that is what the client likes best, else the empty text.

    Raises Refusal (406).
    """
    for each in media_types(accept):
        if not _is_json(each):
            continue
        if each.parameters.get("g") == "apidiscovery.k8s.io" and each.parameters.get("as") == "APIGroupDiscoveryList":
            version = each.parameters.get("v", "")
            if version in ("v2", "v2beta1"):
                return version
            continue
        if "as" not in each.parameters:
            return ""
    raise not_acceptable([JSON])


def _is_json(each: MediaType) -> bool:
    return each.name in (JSON, "*/*")  # as the API server, which does not take application/* either


def _quality(each: MediaType) -> float:
    try:
        return float(each.parameters.get("q", "1"))
    except ValueError:
        return 0
