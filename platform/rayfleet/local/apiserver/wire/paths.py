"""What a URL path of the API means. Pure."""

from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPath:
    """A path below ``/api/v1`` or ``/apis/GROUP/VERSION``; an empty text means the part is not there."""

    group: str
    version: str
    namespace: str = ""
    plural: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def is_collection(self) -> bool:
        """Whether the path names a resource and no object of it."""
        return bool(self.plural) and not self.name


def parse_path(raw: str) -> ApiPath | None:
    """Return what ``raw`` (percent-encoded) means; None when it is no path of a resource or a group's version."""
    parts = [unquote(part) for part in raw.strip("/").split("/")]
    match parts:
        case ["api", version, *rest]:
            return _resource("", version, rest)
        case ["apis", group, version, *rest]:
            return _resource(group, version, rest)
        case _:
            return None


def _resource(group: str, version: str, rest: list[str]) -> ApiPath | None:
    if not all(rest):
        return None
    match rest:
        case []:
            return ApiPath(group=group, version=version)
        case ["namespaces", namespace, plural, *below] if plural not in ("status", "finalize"):
            name, subresource = _below(below)
            return ApiPath(
                group=group, version=version, namespace=namespace, plural=plural, name=name, subresource=subresource
            )
        case [plural, *below]:
            name, subresource = _below(below)
            return ApiPath(group=group, version=version, plural=plural, name=name, subresource=subresource)
        case _:
            return None


def _below(below: list[str]) -> tuple[str, str]:
    name, *subresource = below or [""]
    return name, "/".join(subresource)
