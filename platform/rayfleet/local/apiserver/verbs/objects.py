"""The verbs on kinds and their objects: get, list, watch, create, update, patch, delete.

Edge: requests in, answers out.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from aiohttp import web

from rayfleet.local.apiserver.cluster import Cluster
from rayfleet.local.apiserver.grammar.refusal import (
    bad_request,
    method_not_allowed,
    not_found,
    too_large_version,
    unknown_path,
)
from rayfleet.local.apiserver.kinds.kind import Kind, Review
from rayfleet.local.apiserver.reads.lists import list_page, resource_version, selection_of
from rayfleet.local.apiserver.reads.watches import Watch, decode_watch, is_watch
from rayfleet.local.apiserver.storage.history import Stored
from rayfleet.local.apiserver.wire.answers import answer, json_answer
from rayfleet.local.apiserver.wire.bodies import decode_configuration, duplicate_fields
from rayfleet.local.apiserver.wire.calls import Call
from rayfleet.local.apiserver.wire.negotiation import shown_for
from rayfleet.local.apiserver.wire.views import Viewer
from rayfleet.local.apiserver.writes.delete_options import DeleteOptions, decode_delete_options, typed_delete_options
from rayfleet.local.apiserver.writes.patch_forms import APPLY, patcher
from rayfleet.local.apiserver.writes.writing import Written
from rayfleet.model.json import Json, ReadOnlyJson


class Objects:
    """Answers requests for kinds and objects, and for parts that are written like them (``status``, ``finalize``)."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._watches: set[Watch] = set()
        cluster.registry.listen(self._end_watches_of)

    def end_watches(self) -> None:
        """End all watches, so that the server can stop; clients come back with the version they have."""
        for watch in tuple(self._watches):
            watch.close()

    def _end_watches_of(self, kinds: Sequence[Kind]) -> None:
        """End the watches of kinds that are served no more: whoever asks again learns it."""
        gone = {kind.storage_name for kind in kinds}
        for watch in tuple(self._watches):
            if watch.storage_name in gone:
                watch.close()

    async def collection(self, call: Call) -> web.StreamResponse:
        """Answer a request for a kind. Raises Refusal."""
        has_place = bool(call.path.namespace) or not call.kind.is_namespaced
        match call.request.method:
            case "GET" if is_watch(call.query) and "watch" in call.kind.verbs:
                return await self._watch(call)
            case "GET" if "list" in call.kind.verbs:
                return self._list(call)
            case "POST" if has_place and call.kind.review is not None:
                return await self._review(call, call.kind.review)
            case "POST" if has_place:
                return await self._create(call)
            case "DELETE" if has_place and "deletecollection" in call.kind.verbs:
                return await self._delete_all(call)
            case _:
                raise method_not_allowed()

    async def single(self, call: Call) -> web.StreamResponse:
        """Answer a request for an object. Raises Refusal."""
        if "get" not in call.kind.verbs:
            raise unknown_path()
        match call.request.method:
            case "GET" if is_watch(call.query):
                return await self._watch(call)
            case "GET":
                return self._get(call)
            case "PUT":
                return await self._replace(call)
            case "PATCH":
                return await self._patch(call)
            case "DELETE":
                return await self._delete(call)
            case _:
                raise method_not_allowed()

    async def part(self, call: Call) -> web.StreamResponse:
        """Answer a request for the status or the finalizers of an object. Raises Refusal."""
        verbs = call.kind.subresources[call.path.subresource]
        match call.request.method:
            case "GET" if "get" in verbs:
                return self._get(call)
            case "PUT":
                return await self._replace(call)
            case "PATCH" if "patch" in verbs:
                return await self._patch(call)
            case _:
                raise method_not_allowed()

    def _get(self, call: Call) -> web.Response:
        viewer = self._viewer(call)
        asked = resource_version(call.query.get("resourceVersion", ""))
        if asked > self._cluster.storage.version:
            raise too_large_version(asked, self._cluster.storage.version)
        return answer(viewer.stored(self._stored(call)))

    async def _replace(self, call: Call) -> web.Response:
        viewer = self._viewer(call)
        manifest, options = await call.manifest()
        _check_named(manifest, call)
        written = self._cluster.writer.replace(call.kind, call.key, manifest, options, call.path.subresource)
        return _written(viewer, written)

    async def _patch(self, call: Call) -> web.Response:
        viewer = self._viewer(call)
        body = await call.body()
        if call.content_type == APPLY:
            config, duplicates = decode_configuration(body)
            options = call.write_options(duplicates, is_apply=True)
            return _written(
                viewer, self._cluster.writer.apply(call.kind, call.key, config, options, call.path.subresource)
            )
        patched = patcher(call.kind, call.content_type, body)
        options = call.write_options(duplicate_fields(body))
        written = self._cluster.writer.patch(call.kind, call.key, patched, options, call.path.subresource)
        return _written(viewer, written)

    def _stored(self, call: Call) -> Stored:
        stored = self._cluster.storage.get(call.kind.storage_name, call.key)
        if stored is None:
            raise not_found(call.kind.group, call.kind.plural, call.path.name)
        return stored

    def _viewer(self, call: Call, *, is_list: bool = False) -> Viewer:
        shown = shown_for(call.accept, is_list=is_list, is_watch=is_watch(call.query))
        return Viewer(call.kind, shown, now=self._cluster.now, include=call.query.get("includeObject", ""))

    def _list(self, call: Call) -> web.Response:
        viewer = self._viewer(call, is_list=True)
        selection = selection_of(call.kind, call.path.namespace, call.query)
        page = list_page(self._cluster.storage, call.kind, selection, call.query)
        metadata: Json = {"resourceVersion": str(page.version)}
        if page.token:
            metadata["continue"] = page.token
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
        return answer(viewer.many(page.items, metadata))

    async def _create(self, call: Call) -> web.Response:
        viewer = self._viewer(call)
        manifest, options = await call.manifest()
        self._cluster.check_served(call.kind, (manifest.get("metadata") or {}).get("name", ""))
        written = self._cluster.writer.create(call.kind, call.path.namespace, manifest, options)
        return _written(viewer, written)

    async def _review(self, call: Call, review: Review) -> web.Response:
        """Answer an object that asks something and is not stored."""
        viewer = self._viewer(call)
        manifest, options = await call.manifest()
        return _written(viewer, self._cluster.writer.reviewed(call.kind, manifest, options, review))

    async def _delete(self, call: Call) -> web.Response:
        viewer = self._viewer(call)
        options = await self._delete_options(call)
        result = self._cluster.deleter.delete(call.kind, call.key, options)
        return json_answer(result) if result["kind"] == "Status" else answer(viewer.one(result))

    async def _delete_all(self, call: Call) -> web.Response:
        viewer = self._viewer(call, is_list=True)
        selection = selection_of(call.kind, call.path.namespace, call.query)
        options = await self._delete_options(call)
        page = list_page(self._cluster.storage, call.kind, selection, call.query)
        for each in page.items:
            if self._cluster.storage.get(call.kind.storage_name, each.key) is not None:
                self._cluster.deleter.delete(call.kind, each.key, options)
        return answer(viewer.many(page.items, {"resourceVersion": str(self._cluster.storage.version)}))

    async def _delete_options(self, call: Call) -> DeleteOptions:
        wishes = typed_delete_options(self._cluster.schemas, await call.beside("DeleteOptions"))
        return decode_delete_options(wishes, dict(call.query))

    async def _watch(self, call: Call) -> web.StreamResponse:
        query = dict(call.query)
        if call.path.name:
            query["fieldSelector"] = f"metadata.name={call.path.name}"
        viewer = self._viewer(call)
        selection = selection_of(call.kind, call.path.namespace, query)
        asked = decode_watch(query)
        headers = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        response = web.StreamResponse(headers=headers)
        with self._open(lambda: Watch(self._cluster.storage, call.kind, selection, asked, viewer.event)) as watch:
            try:
                await response.prepare(call.request)
                async for chunk in watch.lines():
                    if call.request.transport is None:
                        break
                    if chunk:
                        await response.write(chunk)
                await response.write_eof()
            except ConnectionError:
                pass  # the client went; there is nobody to tell
        return response

    @contextlib.contextmanager
    def _open(self, make: Callable[[], Watch]) -> Iterator[Watch]:
        watch = make()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            watch.close()
            self._watches.discard(watch)


def _check_named(manifest: ReadOnlyJson, call: Call) -> None:
    if not (manifest.get("metadata") or {}).get("name"):
        raise bad_request(f"the name of the object () does not match the name on the URL ({call.path.name})")


def _written(viewer: Viewer, written: Written) -> web.Response:
    return answer(viewer.one(written.object), status=201 if written.is_new else 200, warnings=written.warnings)
