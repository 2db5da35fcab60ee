"""An API server in memory, behind a client that sends nothing: for thousands of runs of whole controllers.

It keeps the rules that controllers rest on (names, UID and version preconditions, generations, the status subresource,
merge patches, deletion in the foreground, watches from a version, 410) and nothing else: no schema, no defaults, no
fields or selectors but labels. ``tests/kube`` runs the same controllers against servers that have all of it.

Clients with faults stand before it as before any other (``rayfleet.testing.faults``): a client of a ``MemoryAddress``
speaks to its server.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson

from rayfleet.kube.address import KubeAddress
from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.errors import decode_error
from rayfleet.kube.requests import PatchForm, Request
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.propagation import Propagation
from rayfleet.objects.merge_patch import merged
from rayfleet.objects.meta import finalizers_of, generation_of, is_terminating, labels_of, name_of, uid_of, version_of
from rayfleet.objects.parts import copied, part
from rayfleet.objects.times import encode_time
from rayfleet.testing.stored_objects import with_metadata
from rayfleet.testing.virtual_time import virtual_now

FOREGROUND = "foregroundDeletion"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What a path names; ``name`` empty: the collection. ``kind`` is ``group/plural``."""

    kind: str
    namespace: str
    name: str
    subresource: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    version: int
    kind: str
    type: str
    object: ReadOnlyJson


@dataclass(slots=True)
class MemoryServer:
    """Objects by kind, namespace and name; ``changes`` are all that ever happened, in order.

    ``lost`` is the version up to which history is forgotten: a watch from before is a 410.
    """

    objects: dict[tuple[str, str, str], Json] = field(default_factory=dict)
    changes: list[_Change] = field(default_factory=list)
    version: int = 100
    lost: int = 0
    _epoch: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def forget_history(self) -> None:
        """Answer 410 to all who watch, and to all who come with a version of now or before."""
        self.lost = self.version
        self.version += 1
        self._epoch += 1
        self._tell()

    def counts(self, change: str) -> Mapping[str, int]:
        """Return how many objects of each kind came to be (``ADDED``) or went (``DELETED``)."""
        counted: dict[str, int] = {}
        for each in self.changes:
            if each.type == change:
                counted[each.kind] = counted.get(each.kind, 0) + 1
        return counted

    async def answer(self, request: Request) -> Any:
        """Return the answer to one request. Raises ApiError."""
        await asyncio.sleep(0.001)  # others may come between
        target = _target_of(request.path)
        body = orjson.loads(request.body) if request.body else {}
        match request.method:
            case "GET" if not target.name:
                return self._listed(target, request.query)
            case "GET":
                return self._get(target)
            case "POST":
                return self._created(target, body)
            case "PATCH":
                return self._patched(target, body, request.content_type)
            case "DELETE":
                return self._deleted(target, body)
            case _:
                raise _refusal(405, "MethodNotAllowed")

    async def events(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a watch until its time is over. Raises ApiError (410)."""
        target, seen = _target_of(path), int(query["resourceVersion"])
        if seen < self.lost:
            raise _refusal(410, "Expired")
        loop, epoch = asyncio.get_running_loop(), self._epoch
        end, position = loop.time() + float(query["timeoutSeconds"]), 0
        while loop.time() < end:
            pending = self.changes[position:]
            position = len(self.changes)  # before they are told: a slow reader misses none that come meanwhile
            for change in pending:
                if change.version > seen and change.kind == target.kind and _selects(query, change.object):
                    yield orjson.dumps({"type": change.type, "object": change.object}) + b"\n"
            if epoch != self._epoch:
                raise _refusal(410, "Expired")
            if position < len(self.changes):
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(end):
                    await self._changed.wait()

    def _listed(self, target: _Target, query: Mapping[str, str]) -> Json:
        items = [
            raw
            for (kind, namespace, _), raw in self.objects.items()
            if kind == target.kind and target.namespace in {"", namespace} and _selects(query, raw)
        ]
        return {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": str(self.version)}, "items": items}

    def _get(self, target: _Target) -> Json:
        raw = self.objects.get((target.kind, target.namespace, target.name))
        if raw is None:
            raise _refusal(404, "NotFound", name=target.name)
        return raw

    def _created(self, target: _Target, body: Json) -> Json:
        key = (target.kind, target.namespace, name_of(body))
        if key in self.objects:
            raise _refusal(409, "AlreadyExists")
        given = {
            "uid": f"uid-{self.version}",
            "generation": 1,
            "creationTimestamp": encode_time(virtual_now()),
            "namespace": target.namespace,
        }
        new = copied(with_metadata(body, given))
        new.pop("status", None)
        return self._store(key, new, "ADDED")

    def _patched(self, target: _Target, body: Any, form: str) -> Json:
        old = self._get(target)
        new = _json_patched(old, body) if form == PatchForm.JSON else merged(old, body)
        if uid_of(new) != uid_of(old):
            raise _refusal(422, "Invalid", causes=[{"field": "metadata.uid"}])
        if version_of(new) != version_of(old):
            raise _refusal(409, "Conflict")
        if target.subresource:
            new = {**old, target.subresource: new.get(target.subresource)}
        elif "status" in old:
            new |= {"status": part(old, "status")}
        is_other = part(new, "spec") != part(old, "spec")
        new = with_metadata(new, {"generation": generation_of(old) + is_other})
        key = (target.kind, target.namespace, target.name)
        if is_terminating(new) and not finalizers_of(new):
            return self._removed(key)
        return old if new == old else self._store(key, new, "MODIFIED")

    def _deleted(self, target: _Target, options: ReadOnlyJson) -> Json:
        raw = self._get(target)
        as_it_is = {"uid": uid_of(raw), "resourceVersion": version_of(raw)}
        if not part(options, "preconditions").items() <= as_it_is.items():
            raise _refusal(409, "Conflict")
        key = (target.kind, target.namespace, target.name)
        is_foreground = options.get("propagationPolicy") == Propagation.FOREGROUND
        if not is_foreground and not finalizers_of(raw):
            return self._removed(key)
        if is_terminating(raw):
            return raw
        kept = [*finalizers_of(raw), *([FOREGROUND] if is_foreground else [])]
        marks = {"deletionTimestamp": encode_time(virtual_now()), "finalizers": kept}
        return self._store(key, with_metadata(raw, marks), "MODIFIED")

    def _removed(self, key: tuple[str, str, str]) -> Json:
        return self._store(key, self.objects[key], "DELETED")

    def _store(self, key: tuple[str, str, str], new: ReadOnlyJson, change: str) -> Json:
        self.version += 1
        stored = with_metadata(new, {"resourceVersion": str(self.version)})
        if change == "DELETED":
            del self.objects[key]
        else:
            self.objects[key] = stored
        self.changes.append(_Change(version=self.version, kind=key[0], type=change, object=stored))
        self._tell()
        return stored

    def _tell(self) -> None:
        """Wake all who watch."""
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryAddress(KubeAddress):
    """Where a server in memory is; ``frozen_until`` (the loop's seconds) holds back what watches would tell."""

    url: str = "memory://"
    server: MemoryServer = field(repr=False)
    frozen_until: list[float] = field(default_factory=lambda: [0.0])


class MemoryClient(KubeClient):
    """A client of a server in memory; no connection is ever opened."""

    def __init__(self, address: KubeAddress, settings: ClientSettings | None = None) -> None:
        assert isinstance(address, MemoryAddress)
        fast = ClientSettings(queries_per_second=1e6, burst=1000000, event_queries_per_second=1e6, event_burst=1000000)
        super().__init__(address, settings or fast)
        self._memory = address

    async def send(self, request: Request) -> bytes:
        """Answer a request."""
        return orjson.dumps(await self._memory.server.answer(request))

    async def stream(
        self, path: str, query: Mapping[str, str] | None = None, stall_limit: Any = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield a watch, but nothing while it is frozen."""
        assert stall_limit is not None, "only watches are streamed here"
        async for line in self._memory.server.events(path, query or {}):
            await self._thawed()
            yield line

    async def _thawed(self) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < self._memory.frozen_until[0]:
            await asyncio.sleep(self._memory.frozen_until[0] - loop.time())


def _target_of(path: str) -> _Target:
    """Return what a path names: ``/apis/GROUP/V/namespaces/NS/PLURAL/NAME/SUBRESOURCE`` or ``/api/v1/...``."""
    parts = [unquote(each) for each in path.strip("/").split("/")]
    group, rest = (parts[1], parts[3:]) if parts[0] == "apis" else ("", parts[2:])
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    name, subresource = (*rest[1:], "", "")[:2]
    return _Target(kind=f"{group}/{rest[0]}", namespace=namespace, name=name, subresource=subresource)


def _selects(query: Mapping[str, str], raw: ReadOnlyJson) -> bool:
    """Whether an object has the labels that a query asks for: ``a=b``, or ``a`` alone."""
    terms = [term.partition("=") for term in query.get("labelSelector", "").split(",") if term]
    labels = labels_of(raw)
    return all(name in labels and (not sign or labels[name] == value) for name, sign, value in terms)


def _json_patched(old: ReadOnlyJson, steps: Any) -> Json:
    """Apply the two operations that the executor uses. Raises ApiError (422) when a test fails."""
    new = dict(old)
    for step in steps:
        match step:
            case {"op": "test", "path": str(path), "value": value}:
                *outer, last = path.strip("/").split("/")
                if part(old, *outer).get(last) != value:
                    raise _refusal(422, "Invalid")
            case {"op": "add", "path": str(path), "value": value}:
                new[path.strip("/")] = value
    return new


def _refusal(code: int, reason: str, **details: Any) -> Exception:
    return decode_error(code, {"reason": reason, "message": f"memory: {reason}", "details": details})
