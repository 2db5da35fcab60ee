"""Which representation a client wants, by its Accept header.

Pure. What varies is what is shown (whole objects, tables, metadata) and whether it is written as JSON or YAML; a watch
is JSON.
"""

from dataclasses import dataclass
from enum import Enum

from rayfleet.local.apiserver.grammar.refusal import not_acceptable
from rayfleet.local.apiserver.wire.yaml_text import YAML

JSON = "application/json"
_META = "meta.k8s.io"
_META_VERSIONS = ("v1", "v1beta1")
_FORMATS = (JSON, YAML)


class View(Enum):
    """What of an object is shown."""

    WHOLE = "whole"
    TABLE = "Table"
    METADATA = "PartialObjectMetadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A view, and the version of ``meta.k8s.io`` that its tables and metadata are of."""

    view: View
    version: str = "v1"


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


def shown_for(accept: str, *, is_list: bool = False, is_watch: bool = False) -> Shown:
    """Return what the first alternative we speak asks for. Raises Refusal (406) when we speak none."""
    for each in media_types(accept):
        if not (_is_json(each) or (each.name == YAML and not is_watch)):
            continue
        view = each.parameters.get("as", "")
        if not view:
            return Shown(view=View.WHOLE)
        version = each.parameters.get("v", "v1")
        if each.parameters.get("g", _META) != _META or version not in _META_VERSIONS:
            continue
        if view == "Table":
            return Shown(view=View.TABLE, version=version)
        if view in ("PartialObjectMetadata", "PartialObjectMetadataList") and view.endswith("List") is is_list:
            return Shown(view=View.METADATA, version=version)
    raise not_acceptable([JSON] if is_watch else [*_FORMATS])


def wants_yaml(accept: str) -> bool:
    """Whether the first alternative that we speak is YAML."""
    spoken = [each for each in media_types(accept) if _is_json(each) or each.name == YAML]
    return bool(spoken) and spoken[0].name == YAML


def aggregated_discovery_version(accept: str) -> str:
    """Return ``v2`` or ``v2beta1`` when that is what the client likes best, else the empty text.

    Raises Refusal (406).
    """
    for each in media_types(accept):
        if not (_is_json(each) or each.name == YAML):
            continue
        if each.parameters.get("g") == "apidiscovery.k8s.io" and each.parameters.get("as") == "APIGroupDiscoveryList":
            version = each.parameters.get("v", "")
            if version in ("v2", "v2beta1"):
                return version
            continue
        if "as" not in each.parameters:
            return ""
    raise not_acceptable([*_FORMATS])


def _is_json(each: MediaType) -> bool:
    return each.name in (JSON, "*/*")  # as the API server, which does not take application/* either


def _quality(each: MediaType) -> float:
    try:
        return float(each.parameters.get("q", "1"))
    except ValueError:
        return 0
