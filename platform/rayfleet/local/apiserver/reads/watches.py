"""Watches: what a change of the storage means to one client, and the stream of it. Edge: the response.

An object that stops being selected is DELETED for the client, one that starts to be is ADDED. Source: apiserver
``storage/cacher`` (v1.36).
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass

import orjson

from rayfleet.local.apiserver.grammar.refusal import Refusal, expired, forbidden_field, invalid_object
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.reads.lists import Selection, resource_version, whole_number
from rayfleet.local.apiserver.storage.history import Change, CompactedError, Stored
from rayfleet.local.apiserver.storage.storage import Storage
from rayfleet.model.json import Json

_BOOKMARK_SECONDS = 10.0  # a real server sends one a minute; nearer ones make a resumed watch shorter
_DEFAULT_SECONDS = (1800, 3600)  # as the API server's: spread, so that clients do not come back all at once
_MOST_WAITING = 16_384  # changes that a slow client may be behind before it is cut off and has to list again
_END_OF_LIST = "k8s.io/initial-events-end"
_TRUE = ("true", "1", "True", "t", "T", "TRUE")  # as Go's strconv.ParseBool
Render = Callable[[Stored], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """What the query of a watch asks for; version 0 means: first all that is there."""

    version: int
    timeout_seconds: float
    wants_bookmarks: bool
    is_list_first: bool
    """The client wants a bookmark where the initial objects end."""


def decode_watch(query: Mapping[str, str]) -> WatchRequest:
    """Return the request. Raises Refusal: 400, 422."""
    wants_bookmarks = query.get("allowWatchBookmarks") in _TRUE
    initial = query.get("sendInitialEvents", "")
    match = query.get("resourceVersionMatch", "")
    causes = []
    if initial and match != "NotOlderThan":
        causes.append(
            forbidden_field(
                "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            )
        )
    if match and not initial:
        causes.append(
            forbidden_field(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        )
    if causes:
        raise invalid_object("meta.k8s.io", "ListOptions", "", causes)
    is_list_first = initial in _TRUE
    asked = 0 if is_list_first else resource_version(query.get("resourceVersion", ""))
    default_seconds = random.uniform(*_DEFAULT_SECONDS)  # noqa: S311 - no secret
    seconds = whole_number(query.get("timeoutSeconds", ""), "timeoutSeconds") or default_seconds
    return WatchRequest(
        version=asked,
        timeout_seconds=seconds,
        wants_bookmarks=wants_bookmarks,
        is_list_first=is_list_first and wants_bookmarks,
    )


def is_watch(query: Mapping[str, str]) -> bool:
    """Whether a GET is to be a watch."""
    return query.get("watch", "") in _TRUE


def event_of(change: Change, selection: Selection) -> tuple[str, Stored] | None:
    """Return type and object of the event that ``change`` is to a client with ``selection``.

    None when it does not concern it.
    """
    was = change.before if change.before is not None and selection.selects(change.before) else None
    now = change.after if change.after is not None and selection.selects(change.after) else None
    if now is not None:
        return ("MODIFIED" if was is not None else "ADDED", now)
    return None if was is None else ("DELETED", _at_version(was, change.version))


class Watch:
    """One client's watch: subscribe by making it, read ``lines``, end it with ``close``."""

    def __init__(
        self, storage: Storage, kind: Kind, selection: Selection, request: WatchRequest, render: Render
    ) -> None:
        self._storage = storage
        self._kind = kind
        self._selection = selection
        self._request = request
        self._render = render
        self._waiting: deque[Change] = deque()
        self._wake = asyncio.Event()
        self._is_ended = False
        self._sent = request.version or storage.version
        self._first = self._beginning()
        self._unlisten = storage.listen(kind.storage_name, self._take)

    @property
    def storage_name(self) -> str:
        """Return whose objects are watched."""
        return self._kind.storage_name

    def close(self) -> None:
        """Take no more changes and let ``lines`` end with those that wait."""
        self._unlisten()
        self._is_ended = True
        self._wake.set()

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield chunks of whole lines until the time is over or the watch is closed.

        An empty chunk comes now and then, for the caller to see whether its client is still there.
        """
        yield b"".join(self._first)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._request.timeout_seconds
        bookmark = loop.time() + _BOOKMARK_SECONDS
        while self._waiting or not self._is_ended:
            if self._waiting:
                yield b"".join(self._pending())
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout_at(min(end, bookmark)):
                    await self._wake.wait()
            except TimeoutError:
                if loop.time() >= end:
                    return
                if self._waiting:
                    continue  # it came with the timeout; a bookmark would promise that it was sent
                bookmark = loop.time() + _BOOKMARK_SECONDS
                yield self._bookmark() if self._request.wants_bookmarks else b""

    def _beginning(self) -> list[bytes]:
        """Return the first lines: what is there, or what happened since the version asked for."""
        if self._request.version:
            try:
                changes = self._storage.changes_since(self._kind.storage_name, self._request.version)
            except CompactedError as error:
                self._is_ended = True
                return [error_line(expired(str(error)))]
            self._sent = max(self._request.version, self._storage.version if changes else self._request.version)
            return list(self._events(changes))
        objects = self._storage.items(self._kind.storage_name, self._selection.namespace)
        lines = [self._line("ADDED", each) for each in objects if self._selection.selects(each)]
        if self._request.is_list_first:
            lines.append(self._bookmark(is_end_of_list=True))
        return lines

    def _take(self, change: Change) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self.close()
            return
        self._waiting.append(change)
        self._wake.set()

    def _pending(self) -> list[bytes]:
        changes = [*self._waiting]
        self._waiting.clear()
        self._sent = max(self._sent, changes[-1].version)
        return list(self._events(changes))

    def _events(self, changes: list[Change]) -> Iterator[bytes]:
        for change in changes:
            if change.version > self._request.version and (event := event_of(change, self._selection)):
                yield self._line(*event)

    def _line(self, name: str, stored: Stored) -> bytes:
        return b'{"type":"%s","object":%s}\n' % (name.encode(), self._render(stored))

    def _bookmark(self, *, is_end_of_list: bool = False) -> bytes:
        # All changes of the kind up to now are with the client, so it may go on from the newest version of all.
        metadata: Json = {
            "resourceVersion": str(max(self._sent, self._storage.version)),
            "creationTimestamp": None,
        }
        if is_end_of_list:
            metadata["annotations"] = {_END_OF_LIST: "true"}
        bookmark = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}
        return orjson.dumps({"type": "BOOKMARK", "object": bookmark}) + b"\n"


def error_line(refusal: Refusal) -> bytes:
    """Return the event that ends a watch."""
    return orjson.dumps({"type": "ERROR", "object": refusal.status()}) + b"\n"


def _at_version(stored: Stored, version: int) -> Stored:
    """Return the last state of what is gone, under the version of its going."""
    manifest = {**stored.object, "metadata": {**stored.object["metadata"], "resourceVersion": str(version)}}
    return Stored(object=manifest, body=orjson.dumps(manifest), version=version)
