"""Identity of an object, as far as decisions need it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKey:
    """Namespace and name; what a queue holds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMeta:
    """``metadata``; ``owner_uid`` is the UID of the *controller* owner reference, None without one."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner_uid: str | None = None
    created_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def key(self) -> ObjectKey:
        """Where the object lies."""
        return ObjectKey(namespace=self.namespace, name=self.name)
