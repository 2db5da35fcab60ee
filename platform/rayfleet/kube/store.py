"""A cache of the objects of one kind, with indexes. Not thread-safe: it lives on one event loop.

Invariant: a stored object's resourceVersion never goes back (an older event that arrives late is dropped), and each
index holds exactly the keys of the stored objects. Objects are shared: read them, never change them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.objects.meta import key_of, uid_of, version_of
from rayfleet.objects.owners import controller_uid

_OWNER = "owner"
_NAMESPACE = "namespace"
_ORPHANS = "orphans"


def is_older(version: str, than: str) -> bool:
    """Whether one resourceVersion comes before another. Pure.

    They are ordered integers of the same resource (Kubernetes 1.35 made that official, KEP-5504; etcd and our own
    server always were). What is no number is never older.
    """
    return version.isdigit() and than.isdigit() and int(version) < int(than)


class Store:
    """Objects by key, indexed by the UID of their controller, by namespace, and there those that nobody controls."""

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, ReadOnlyJson] = {}
        self._by_value: Mapping[str, dict[str, dict[ObjectKey, None]]] = {name: {} for name in _INDEXES}

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: ObjectKey) -> ReadOnlyJson | None:
        """Return the object at ``key``, None when there is none."""
        return self._objects.get(key)

    def list(self, namespace: str | None = None) -> Sequence[ReadOnlyJson]:
        """Return all objects, or those of one namespace."""
        if namespace is None:
            return tuple(self._objects.values())
        return self._filed(_NAMESPACE, namespace)

    def __iter__(self) -> Iterator[ObjectKey]:
        """Iterate over the keys that are there now; the store may change meanwhile."""
        return iter(tuple(self._objects))

    def by_owner(self, uid: str) -> Sequence[ReadOnlyJson]:
        """Return the objects whose controller has ``uid``."""
        return self._filed(_OWNER, uid)

    def orphans(self, namespace: str) -> Sequence[ReadOnlyJson]:
        """Return the objects of a namespace that have no controller."""
        return self._filed(_ORPHANS, namespace)

    def put(self, manifest: ReadOnlyJson) -> tuple[ReadOnlyJson | None, bool]:
        """Store an object.

        Return what stood there before and whether it was taken (an older version of the same UID is not).
        """
        key = key_of(manifest)
        old = self._objects.get(key)
        if old is not None and _is_same_object(old, manifest) and is_older(version_of(manifest), than=version_of(old)):
            return old, False
        self._unfile(key)
        self._objects[key] = manifest
        for name, index in _INDEXES.items():
            for value in index(manifest):
                self._by_value[name].setdefault(value, {})[key] = None
        return old, True

    def remove(self, key: ObjectKey) -> ReadOnlyJson | None:
        """Forget the object at ``key`` and return it."""
        self._unfile(key)
        return self._objects.pop(key, None)

    def _filed(self, index: str, value: str) -> Sequence[ReadOnlyJson]:
        return tuple(self._objects[key] for key in self._by_value[index].get(value, ()))

    def _unfile(self, key: ObjectKey) -> None:
        old = self._objects.get(key)
        if old is None:
            return
        for name, index in _INDEXES.items():
            filed = self._by_value[name]
            for value in index(old):
                keys = filed[value]
                keys.pop(key, None)
                if not keys:
                    del filed[value]


def _owner_index(manifest: ReadOnlyJson) -> Iterator[str]:
    uid = controller_uid(manifest)
    if uid is not None:
        yield uid


def _namespace_index(manifest: ReadOnlyJson) -> Iterator[str]:
    yield key_of(manifest).namespace


def _orphan_index(manifest: ReadOnlyJson) -> Iterator[str]:
    if controller_uid(manifest) is None:
        yield key_of(manifest).namespace


def _is_same_object(one: ReadOnlyJson, other: ReadOnlyJson) -> bool:
    return uid_of(one) == uid_of(other)


_INDEXES: Mapping[str, Callable[[ReadOnlyJson], Iterable[str]]] = {
    _OWNER: _owner_index,
    _NAMESPACE: _namespace_index,
    _ORPHANS: _orphan_index,
}
