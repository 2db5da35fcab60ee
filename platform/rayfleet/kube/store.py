"""A cache of the objects of one kind, with indexes. Not thread-safe: it lives on one event loop.

Invariant: a stored object's resourceVersion never goes back (an older event that arrives late is dropped), and each
index holds exactly the keys of the stored objects. Objects are shared: read them, never change them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rayfleet.model.meta import JsonObject, ObjectKey

Index = Callable[[JsonObject], Iterable[str]]
OWNER_INDEX = "owner"
NAMESPACE_INDEX = "namespace"


def key_of(manifest: JsonObject) -> ObjectKey:
    """Return where an object lies; the namespace of a cluster-scoped one is empty. Pure."""
    meta = manifest["metadata"]
    return ObjectKey(namespace=meta.get("namespace") or "", name=meta["name"])


def controller_uid(manifest: JsonObject) -> str | None:
    """Return the UID of the controller owner reference, None without one. Pure."""
    for reference in manifest["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return str(reference["uid"])
    return None


def label_index(label: str) -> Index:
    """Return an index by the value of ``label``. Pure."""

    def values(manifest: JsonObject) -> Iterator[str]:
        value = (manifest["metadata"].get("labels") or {}).get(label)
        if value is not None:
            yield value

    return values


def is_older(version: str, than: str) -> bool:
    """Whether one resourceVersion comes before another. Pure.

    They are ordered integers of the same resource (Kubernetes 1.35 made that official, KEP-5504; etcd and our own
    server always were). What is no number is never older.
    """
    return version.isdigit() and than.isdigit() and int(version) < int(than)


class Store:
    """Objects by key; ``owner`` (controller UID) and ``namespace`` are always indexed, more by name."""

    def __init__(self, indexes: Mapping[str, Index] | None = None) -> None:
        self._indexes: dict[str, Index] = {
            OWNER_INDEX: _owner_index,
            NAMESPACE_INDEX: _namespace_index,
            **(indexes or {}),
        }
        self._objects: dict[ObjectKey, JsonObject] = {}
        self._by_value: dict[str, dict[str, dict[ObjectKey, None]]] = {name: {} for name in self._indexes}

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: ObjectKey) -> JsonObject | None:
        """Return the object at ``key``, None when there is none."""
        return self._objects.get(key)

    def list(self, namespace: str | None = None) -> Sequence[JsonObject]:
        """Return all objects, or those of one namespace."""
        if namespace is None:
            return tuple(self._objects.values())
        return self.by_index(NAMESPACE_INDEX, namespace)

    def __iter__(self) -> Iterator[ObjectKey]:
        """Iterate over the keys that are there now; the store may change meanwhile."""
        return iter(tuple(self._objects))

    def by_owner(self, uid: str) -> Sequence[JsonObject]:
        """Return the objects whose controller has ``uid``."""
        return self.by_index(OWNER_INDEX, uid)

    def by_index(self, name: str, value: str) -> Sequence[JsonObject]:
        """Return the objects that the index ``name`` files under ``value``. Raises KeyError for an unknown index."""
        return tuple(self._objects[key] for key in self._by_value[name].get(value, ()))

    def put(self, manifest: JsonObject) -> tuple[JsonObject | None, bool]:
        """Store an object.

        Return what stood there before and whether it was taken (an older version of the same UID is not).
        """
        key = key_of(manifest)
        old = self._objects.get(key)
        if old is not None and _is_same_object(old, manifest) and is_older(_version(manifest), than=_version(old)):
            return old, False
        self._unfile(key)
        self._objects[key] = manifest
        for name, index in self._indexes.items():
            for value in index(manifest):
                self._by_value[name].setdefault(value, {})[key] = None
        return old, True

    def remove(self, key: ObjectKey) -> JsonObject | None:
        """Forget the object at ``key`` and return it."""
        self._unfile(key)
        return self._objects.pop(key, None)

    def _unfile(self, key: ObjectKey) -> None:
        old = self._objects.get(key)
        if old is None:
            return
        for name, index in self._indexes.items():
            filed = self._by_value[name]
            for value in index(old):
                keys = filed[value]
                keys.pop(key, None)
                if not keys:
                    del filed[value]


def _owner_index(manifest: JsonObject) -> Iterator[str]:
    uid = controller_uid(manifest)
    if uid is not None:
        yield uid


def _namespace_index(manifest: JsonObject) -> Iterator[str]:
    yield key_of(manifest).namespace


def _version(manifest: JsonObject) -> str:
    return str(manifest["metadata"].get("resourceVersion") or "")


def _is_same_object(one: JsonObject, other: JsonObject) -> bool:
    return bool(one["metadata"].get("uid") == other["metadata"].get("uid"))
