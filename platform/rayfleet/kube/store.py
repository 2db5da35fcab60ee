"""A cache of the objects of one kind, with indexes. Not thread-safe: it lives on one event loop.

Invariant: a stored object's resourceVersion never goes back (an older event that arrives late is dropped), and each
index holds exactly the keys of the stored objects. Objects are shared: read them, never change them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.objects.meta import key_of, uid_of, version_of
from rayfleet.objects.owners import controller_uid

T = TypeVar("T")
Decode = Callable[[ReadOnlyJson], T]
Renew = Callable[[T, ReadOnlyJson, ReadOnlyJson], T | None]
"""Pure: from the value of an earlier version of an object, that version and this one, what ``Decode`` would return.

None where that takes decoding.
"""
Index = Callable[[ReadOnlyJson], Iterable[str]]
"""Pure: the values that an object is filed under. It must not raise, whatever the object says."""


def is_older(version: str, than: str) -> bool:
    """Whether one resourceVersion comes before another. Pure.

    They are ordered integers of the same resource (Kubernetes 1.35 made that official, KEP-5504; etcd and our own
    server always were). What is no number is never older.
    """
    return version.isdigit() and than.isdigit() and int(version) < int(than)


class Store:
    """Objects by key, indexed by the UID of their controller, by namespace, and by what else somebody asked for."""

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, ReadOnlyJson] = {}
        self._decoded: dict[ObjectKey, dict[Decode[Any], Any]] = {}
        self._outdated: dict[ObjectKey, tuple[ReadOnlyJson, dict[Decode[Any], Any]]] = {}  # the last version decoded
        self._renewed_by: set[Decode[Any]] = set()  # whose values somebody renews; for others nothing is outdated
        self._filed: dict[Index, dict[str, dict[ObjectKey, None]]] = {
            _owner_index: {},
            _namespace_index: {},
            _orphan_index: {},
        }

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: ObjectKey) -> ReadOnlyJson | None:
        """Return the object at ``key``, None when there is none."""
        return self._objects.get(key)

    def list(self, namespace: str | None = None) -> Sequence[ReadOnlyJson]:
        """Return all objects, or those of one namespace."""
        if namespace is None:
            return tuple(self._objects.values())
        return self.by(_namespace_index, namespace)

    def __iter__(self) -> Iterator[ObjectKey]:
        """Iterate over the keys that are there now; the store may change meanwhile."""
        return iter(tuple(self._objects))

    def by_owner(self, uid: str) -> Sequence[ReadOnlyJson]:
        """Return the objects whose controller has ``uid``."""
        return self.by(_owner_index, uid)

    def by(self, index: Index, value: str) -> Sequence[ReadOnlyJson]:
        """Return the objects that ``index`` files under ``value``; from the first time on, without a scan."""
        if index not in self._filed:
            self._filed[index] = {}
            for key, manifest in self._objects.items():
                self._file(index, key, manifest)
        return tuple(self._objects[key] for key in self._filed[index].get(value, ()))

    def count(self, index: Index, value: str) -> int:
        """Return how many objects ``by`` would."""
        self.by(index, "")
        return len(self._filed[index].get(value, ()))

    def orphans(self, namespace: str) -> Sequence[ReadOnlyJson]:
        """Return the objects of a namespace that have no controller."""
        return self.by(_orphan_index, namespace)

    def decoded(self, manifest: ReadOnlyJson, decode: Decode[T], renew: Renew[T] | None = None) -> T:
        """Return ``decode(manifest)``, done once as long as the very object is stored. Raises what ``decode`` raises.

        ``decode`` is pure and a function that lives long: it is the key of what is remembered. ``renew`` is tried first
        where an earlier version was decoded: most versions differ in their status alone.
        """
        key = key_of(manifest)
        if self._objects.get(key) is not manifest:
            return decode(manifest)
        kept = self._decoded.setdefault(key, {})
        if decode not in kept:
            kept[decode] = self._renewed(key, manifest, decode, renew) if renew is not None else decode(manifest)
        value: T = kept[decode]
        return value

    def _renewed(self, key: ObjectKey, manifest: ReadOnlyJson, decode: Decode[T], renew: Renew[T]) -> T:
        self._renewed_by.add(decode)
        before, values = self._outdated.pop(key, (manifest, {}))
        renewed = renew(values[decode], before, manifest) if decode in values else None
        return renewed if renewed is not None else decode(manifest)

    def put(self, manifest: ReadOnlyJson) -> tuple[ReadOnlyJson | None, bool]:
        """Store an object.

        Return what stood there before and whether it was taken (an older version of the same UID is not).
        """
        key = key_of(manifest)
        old = self._objects.get(key)
        if old is not None and _is_same_object(old, manifest) and is_older(version_of(manifest), than=version_of(old)):
            return old, False
        self._unfile(key)
        values = self._decoded.pop(key, None)
        if values and old is not None and not self._renewed_by.isdisjoint(values):
            self._outdated[key] = old, values
        self._objects[key] = manifest
        for index in self._filed:
            self._file(index, key, manifest)
        return old, True

    def remove(self, key: ObjectKey) -> ReadOnlyJson | None:
        """Forget the object at ``key`` and return it."""
        self._unfile(key)
        self._decoded.pop(key, None)
        self._outdated.pop(key, None)
        return self._objects.pop(key, None)

    def _file(self, index: Index, key: ObjectKey, manifest: ReadOnlyJson) -> None:
        for value in index(manifest):
            self._filed[index].setdefault(value, {})[key] = None

    def _unfile(self, key: ObjectKey) -> None:
        old = self._objects.get(key)
        if old is None:
            return
        for index, filed in self._filed.items():
            for value in set(index(old)):
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
