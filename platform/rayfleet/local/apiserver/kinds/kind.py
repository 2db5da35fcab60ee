"""What the server knows about one kind in one version: its names, fields, rules, table and subresources. Pure."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from rayfleet.local.apiserver.grammar.refusal import Cause
from rayfleet.local.apiserver.kinds.field_labels import FieldReader
from rayfleet.model.json import Json, ReadOnlyJson

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRule:
    """How a strategic merge patch treats a field; ``key`` identifies the objects of a list, empty for plain values."""

    strategies: frozenset[str]
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table; a priority above 0 is shown by ``-o wide`` only."""

    name: str
    type: str
    format: str = ""
    description: str = ""
    priority: int = 0

    def definition(self) -> Json:
        """Return the column as a table states it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Printer:
    """A table: one cell per column for each object."""

    columns: tuple[Column, ...]
    cells: Callable[[ReadOnlyJson, datetime], list[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePaths:
    """Where a kind keeps what its scale subresource shows."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    selector: tuple[str, ...] | None = None


class Fields(Protocol):
    """The fields of a kind."""

    def clean(self, manifest: ReadOnlyJson) -> tuple[Json, list[str]]:
        """Return a copy without unknown fields, and their paths. Raises Refusal (400) for a wrong type."""

    def fill(self, manifest: Json) -> None:
        """Put defaults into the object, in place."""

    def problems(self, new: ReadOnlyJson, old: ReadOnlyJson | None) -> list[Cause]:
        """Return what is wrong by the schema."""

    def merge_keys(self, path: Sequence[str]) -> MergeRule | None:
        """Return how a strategic merge patch treats what lies at ``path``."""

    def openapi(self) -> ReadOnlyJson:
        """Return the published schema."""


Review = Callable[[ReadOnlyJson, datetime], Json]
"""What the server makes of an object that asks something: the object with its answer, at a time.

Raises Refusal (400, 422).
"""


def prepare_nothing(_new: Json, _old: ReadOnlyJson | None) -> None:
    """Leave the object as it is."""


def no_problems(_new: ReadOnlyJson, _old: ReadOnlyJson | None) -> list[Cause]:
    """Return nothing."""
    return []


def no_name_problem(_name: str) -> str:
    """Return the empty text."""
    return ""


def deleted_as_usual(_manifest: Json, _now: datetime) -> Json | None:
    """Return None: the object goes the way that most kinds go."""
    return None


def never_held(_manifest: ReadOnlyJson) -> bool:
    """Whether anything but ``metadata.finalizers`` keeps the object: no."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a kind's registry does beside its schema. ``old`` is None for a creation."""

    prepare: Callable[[Json, ReadOnlyJson | None], None] = prepare_nothing
    problems: Callable[[ReadOnlyJson, ReadOnlyJson | None], list[Cause]] = no_problems
    name_problem: Callable[[str], str] = no_name_problem
    grace_seconds: Callable[[ReadOnlyJson], int] | None = None
    """The grace period of a deletion that states none; None when the kind is deleted at once."""
    on_delete: Callable[[Json, datetime], Json | None] = deleted_as_usual
    """What a first deletion makes of an object whose kind has a way of its own: it is stored so, and waits for whoever
    finishes it. None for the usual way. May change what it is given. Raises Refusal (403) for what may not be deleted.
    """
    is_held: Callable[[ReadOnlyJson], bool] = never_held
    """Whether something beside ``metadata.finalizers`` still keeps an object that is being deleted."""
    takes_update_without_version: bool = True
    creates_on_update: bool = False
    has_generation: bool = False
    returns_deleted: bool = False
    """A deletion answers with the object that is gone, not with a Status."""
    own_status_on_create: bool = False
    """The status of a new object is dropped: only the subresource sets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind in one version."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    list_kind: str
    is_namespaced: bool
    fields: Fields
    printer: Printer
    rules: Rules
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    field_labels: Mapping[str, FieldReader] | None = None
    """What field selectors may compare; None when the kind has nothing of its own: name and namespace only."""
    scale: ScalePaths | None = None
    is_custom: bool = False
    review: Review | None = None
    """How objects of a kind that is asked, and not stored, are answered."""
    storage_version: str = ""
    """The version that objects are stored in; empty when it is this one."""

    @property
    def storage_version_hash(self) -> str:
        """Return what tells clients when objects should be written anew; empty for a kind that is not stored.

        As apiserver ``pkg/endpoints/discovery/storageversionhash.go`` (v1.36).
        """
        if self.review is not None:
            return ""
        text = f"{self.group}/{self.storage_version or self.version}/{self.kind}"
        return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()

    @property
    def api_version(self) -> str:
        """Return ``group/version``, or the version alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage_name(self) -> str:
        """Return what names the kind in the storage, whatever the version."""
        return f"{self.group}/{self.plural}"

    @property
    def has_status(self) -> bool:
        """Whether the status is written through its own subresource only."""
        return "status" in self.subresources

    @property
    def base_path(self) -> str:
        """Return the URL path of the group's version."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
