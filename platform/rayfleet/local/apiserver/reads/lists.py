"""Lists: selection, pages that see one state, and what a resourceVersion of a list means. Reads the storage.

A continue token holds the version of the first page and the last key; later pages show the state of that version as
long as the history reaches back to it (410 then, with a token that goes on with the newest state, as on a real server).
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from rayfleet.local.apiserver.grammar.refusal import (
    Refusal,
    bad_request,
    expired,
    forbidden_field,
    invalid_object,
    too_large_version,
    unsupported,
)
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.reads.selection import (
    BadSelector,
    FieldSelector,
    LabelSelector,
    parse_field_selector,
    parse_label_selector,
)
from rayfleet.local.apiserver.storage.history import CompactedError, Stored
from rayfleet.local.apiserver.storage.storage import Storage
from rayfleet.objects.meta import labels_of

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a client wants to see of a resource."""

    namespace: str
    labels: LabelSelector
    fields: FieldSelector

    @property
    def is_filtered(self) -> bool:
        """Whether anything but the namespace selects."""
        return bool(self.labels.requirements or self.fields.terms)

    def selects(self, stored: Stored) -> bool:
        """Whether the object is wanted."""
        if self.namespace and stored.key[0] != self.namespace:
            return False
        return self.labels.matches(labels_of(stored.object)) and self.fields.matches(stored.object)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer to a list."""

    items: tuple[Stored, ...]
    version: int
    token: str
    remaining: int | None


def selection_of(kind: Kind, namespace: str, query: Mapping[str, str]) -> Selection:
    """Return what the query selects. Raises Refusal (400)."""
    try:
        labels = parse_label_selector(query.get("labelSelector", ""))
        fields = parse_field_selector(query.get("fieldSelector", ""), kind.field_labels)
    except BadSelector as error:
        raise bad_request(str(error)) from error
    return Selection(namespace=namespace, labels=labels, fields=fields)


def list_page(storage: Storage, kind: Kind, selection: Selection, query: Mapping[str, str]) -> Page:
    """Return the page that the query asks for. Raises Refusal: 400, 410, 422, 504."""
    limit = whole_number(query.get("limit", ""), "limit")
    token = query.get("continue", "")
    asked = resource_version(query.get("resourceVersion", ""))
    match = query.get("resourceVersionMatch", "")
    _check_options(query, match)
    version, start = _decode_token(token) if token else (0, None)
    if token and asked:
        raise bad_request("specifying resource version is not allowed when using continue")
    if asked > storage.version:
        raise too_large_version(asked, storage.version)
    if not version and match == "Exact":
        version = asked
    try:
        objects = (
            storage.items_at(kind.storage_name, selection.namespace, version)
            if version and version != storage.version
            else storage.items(kind.storage_name, selection.namespace)
        )
    except CompactedError as error:
        raise _expired(token, start, str(error)) from error
    selected = [each for each in objects if (start is None or each.key > start) and selection.selects(each)]
    return _page(selected, limit, version or storage.version, is_filtered=selection.is_filtered)


def resource_version(text: str) -> int:
    """Return the number of a resourceVersion, 0 for none. Raises Refusal (400)."""
    if not text:
        return 0
    if not text.isdigit():
        raise bad_request(
            f'invalid resource version: resourceVersion: Invalid value: "{text}": it must be a whole number'
        )
    return int(text)


def whole_number(text: str, name: str) -> int:
    """Return a number of the query, 0 for none. Raises Refusal (400)."""
    if not text:
        return 0
    try:
        return int(text)
    except ValueError as error:
        raise bad_request(f"{name}: {text!r} is no whole number") from error


def _page(selected: list[Stored], limit: int, version: int, *, is_filtered: bool) -> Page:
    if limit <= 0 or len(selected) <= limit:
        return Page(items=tuple(selected), version=version, token="", remaining=None)
    shown = tuple(selected[:limit])
    remaining = None if is_filtered else len(selected) - limit
    return Page(items=shown, version=version, token=_token(version, shown[-1].key), remaining=remaining)


def _token(version: int, last: tuple[str, str]) -> str:
    content = {"v": "meta.k8s.io/v1", "rv": version, "start": list(last)}
    return base64.urlsafe_b64encode(orjson.dumps(content)).decode().rstrip("=")


def _decode_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        content = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, name = content["start"]
        return int(content["rv"]), (str(namespace), str(name))
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise bad_request("invalid continue token: continue key is not valid") from error


def _expired(token: str, start: tuple[str, str] | None, why: str) -> Refusal:
    if not token or start is None:
        return expired(why)
    return expired(_TOO_OLD)


def _check_options(query: Mapping[str, str], match: str) -> None:
    causes = []
    if match and not query.get("resourceVersion"):
        causes.append(
            forbidden_field(
                "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        )
    elif match == "Exact" and query.get("resourceVersion") == "0":
        causes.append(
            forbidden_field("resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
        )
    if match not in ("", "Exact", "NotOlderThan"):
        causes.append(unsupported("resourceVersionMatch", match, ("Exact", "NotOlderThan", "")))
    if match and query.get("continue"):
        causes.append(
            forbidden_field("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
        )
    if query.get("sendInitialEvents"):
        causes.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if causes:
        raise invalid_object("meta.k8s.io", "ListOptions", "", causes)
