"""Objects and their history: SQLite on disk, dictionaries in memory.

Every write is one transaction that stores the object, the change and the new resourceVersion together, so versions
never go back and a watch can go on after a restart, also after kill -9. ``synchronous=NORMAL``: in WAL mode a commit is
in the operating system's hands when it returns, so a killed process loses nothing and a write costs a tenth of a
millisecond; a power cut may lose the last moments but leaves a whole database. That suits a cluster whose pods are
processes of the same machine and are gone then too.

One thread, one event loop: between a read and the write that follows from it nobody else writes.
"""

import bisect
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from rayfleet.local.apiserver.storage.history import Change, CompactedError, Stored
from rayfleet.model.json import Json, ReadOnlyJson

Key = tuple[str, str]
"""Namespace (empty for a cluster's object) and name."""
Listener = Callable[[Change], None]

DEFAULT_WINDOW = 4096  # changes that are kept: an hour of a machine's pods, some 10 kB of memory each
FIRST_VERSION = 100  # clients say 1 for "from the beginning of time", which no server's history reaches back to
_PRUNE_EVERY = 512
_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    kind TEXT, namespace TEXT, name TEXT, version INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (kind, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (
    version INTEGER PRIMARY KEY, kind TEXT NOT NULL, before_version INTEGER, before BLOB, after BLOB
);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class Storage:
    """All objects by their kind's ``storage_name`` and key. What is given out is shared: nobody changes it."""

    def __init__(self, path: Path, *, window: int = DEFAULT_WINDOW) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)
        self._tables: dict[str, _Table] = {}
        self._history: deque[tuple[str, Change]] = deque()
        self._window = window
        self._listeners: dict[str, set[Listener]] = {}
        self.version = self._counter("version")
        self.oldest = self._counter("oldest")
        """The history reaches back to the state of this version."""
        self._load()

    def close(self) -> None:
        """Close the database; what was written stays."""
        self._database.close()

    def get(self, kind: str, key: Key) -> Stored | None:
        """Return an object, or None."""
        return self._table(kind).objects.get(key)

    def items(self, kind: str, namespace: str = "") -> list[Stored]:
        """Return the objects of a kind in the order of their keys; of one namespace unless it is empty."""
        return self._table(kind).items(namespace)

    def items_at(self, kind: str, namespace: str, version: int) -> list[Stored]:
        """Return the objects as they were at ``version``. Raises CompactedError."""
        objects = {each.key: each for each in self.items(kind, namespace)}
        for change in reversed(self.changes_since(kind, version)):
            if namespace and change.key[0] != namespace:
                continue
            if change.before is None:
                objects.pop(change.key, None)
            else:
                objects[change.key] = change.before
        return [objects[key] for key in sorted(objects)]

    def changes_since(self, kind: str, version: int) -> list[Change]:
        """Return the changes of a kind after ``version``, oldest first. Raises CompactedError."""
        if version < self.oldest:
            raise CompactedError(version, self.oldest)
        changes: list[Change] = []
        for name, change in reversed(self._history):
            if change.version <= version:
                break
            if name == kind:
                changes.append(change)
        return changes[::-1]

    def read_again(self, kind: str, as_read: Callable[[Json], Json]) -> None:
        """Let every object of a kind be what ``as_read`` makes of it, from now on; its version stays, nobody is told.

        On disk it stays as it was written, so this is done again after a restart.
        """
        table = self._table(kind)
        for key, stored in table.objects.items():
            body = orjson.dumps(as_read(stored.copy()))
            if body != stored.body:
                table.objects[key] = Stored(object=orjson.loads(body), body=body, version=stored.version)

    def write(self, kind: str, key: Key, manifest: ReadOnlyJson) -> Stored:
        """Store an object under the next resourceVersion and return it.

        ``manifest`` may be changed by the caller afterwards.
        """
        version = self.version + 1
        body = orjson.dumps({**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(version)}})
        stored = Stored(object=orjson.loads(body), body=body, version=version)
        before = self._table(kind).objects.get(key)
        with self._transaction(kind, Change(version=version, before=before, after=stored)):
            self._database.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)", (kind, *key, version, body))
        self._table(kind).put(key, stored)
        self._tell(kind, Change(version=version, before=before, after=stored))
        return stored

    def remove(self, kind: str, key: Key) -> Stored:
        """Remove an object that is there and return its last state."""
        version = self.version + 1
        before = self._table(kind).objects[key]
        change = Change(version=version, before=before, after=None)
        with self._transaction(kind, change):
            self._database.execute("DELETE FROM objects WHERE kind = ? AND namespace = ? AND name = ?", (kind, *key))
        self._table(kind).drop(key)
        self._tell(kind, change)
        return before

    def listen(self, kind: str, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with every change of a kind from now on; the returned function ends that."""
        listeners = self._listeners.setdefault(kind, set())
        listeners.add(listener)
        return lambda: listeners.discard(listener)

    def _table(self, kind: str) -> "_Table":
        table = self._tables.get(kind)
        if table is None:
            table = self._tables[kind] = _Table()
        return table

    def _counter(self, name: str) -> int:
        row = self._database.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else FIRST_VERSION

    def _load(self) -> None:
        for kind, namespace, name, version, body in self._database.execute("SELECT * FROM objects"):
            self._table(kind).put((namespace, name), Stored(object=orjson.loads(body), body=body, version=version))
        rows = self._database.execute("SELECT * FROM changes WHERE version > ? ORDER BY version", (self.oldest,))
        states = {each.version: each for table in self._tables.values() for each in table.objects.values()}
        for version, kind, before_version, before, after in rows:
            change = Change(
                version=version,
                before=_stored(before_version, before, states),
                after=_stored(version, after, states),
            )
            self._history.append((kind, change))

    @contextmanager
    def _transaction(self, kind: str, change: Change) -> Iterator[None]:
        """Store the change and its version with what is done inside; nothing stays when that fails."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            before, after = change.before, change.after
            self._database.execute(
                "INSERT INTO changes VALUES (?, ?, ?, ?, ?)",
                (change.version, kind, before and before.version, before and before.body, after and after.body),
            )
            self._database.execute("INSERT OR REPLACE INTO counters VALUES ('version', ?)", (change.version,))
            if change.version % min(_PRUNE_EVERY, self._window) == 0:
                self._prune(change.version - self._window)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # a full disk has ended it already
                self._database.execute("ROLLBACK")
            raise
        self.version = change.version

    def _prune(self, oldest: int) -> None:
        if oldest <= self.oldest:
            return
        self._database.execute("DELETE FROM changes WHERE version <= ?", (oldest,))
        self._database.execute("INSERT OR REPLACE INTO counters VALUES ('oldest', ?)", (oldest,))
        self.oldest = oldest
        while self._history and self._history[0][1].version <= oldest:
            self._history.popleft()

    def _tell(self, kind: str, change: Change) -> None:
        self._history.append((kind, change))
        for listener in tuple(self._listeners.get(kind, ())):
            listener(change)


class _Table:
    """The objects of one kind, with their keys in order."""

    def __init__(self) -> None:
        self.objects: dict[Key, Stored] = {}
        self._order: list[Key] = []

    def put(self, key: Key, stored: Stored) -> None:
        if key not in self.objects:
            bisect.insort(self._order, key)
        self.objects[key] = stored

    def drop(self, key: Key) -> None:
        del self.objects[key]
        del self._order[bisect.bisect_left(self._order, key)]

    def items(self, namespace: str) -> list[Stored]:
        if not namespace:
            return [self.objects[key] for key in self._order]
        first = bisect.bisect_left(self._order, (namespace, ""))
        last = bisect.bisect_left(self._order, (namespace + "\0", ""))
        return [self.objects[key] for key in self._order[first:last]]


def _stored(version: int | None, body: bytes | None, states: dict[int, Stored]) -> Stored | None:
    """Return one state of an object.

    ``states`` are those that were met before, for a state is the next change's old one.
    """
    if version is None or body is None:
        return None
    if version not in states:
        states[version] = Stored(object=orjson.loads(body), body=body, version=version)
    return states[version]
