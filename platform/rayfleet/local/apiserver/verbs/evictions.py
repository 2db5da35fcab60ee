"""Evictions: deletions of pods that a disruption budget may hold back. Edge: requests in, answers out."""

from aiohttp import web

from rayfleet.local.apiserver.cluster import Cluster
from rayfleet.local.apiserver.grammar.refusal import bad_request, method_not_allowed, not_found
from rayfleet.local.apiserver.kinds.builtin.evictions import budgets_of, marked_pod, spent_budget
from rayfleet.local.apiserver.storage.history import Stored
from rayfleet.local.apiserver.wire.answers import json_answer
from rayfleet.local.apiserver.wire.calls import Call
from rayfleet.local.apiserver.writes.delete_options import DeleteOptions, decode_delete_options, typed_delete_options
from rayfleet.model.json import Json, ReadOnlyJson

_EVICTED: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class Evictions:
    """Answers requests to evict a pod."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def answer(self, call: Call) -> web.Response:
        """Evict the pod. Raises Refusal: 400, 403, 404, 409, 429, 500."""
        if call.request.method != "POST":
            raise method_not_allowed()
        eviction = await call.beside("Eviction")
        _check_named(eviction, call.path.name)
        options = self._options(call, eviction)
        stored = self._cluster.storage.get(call.kind.storage_name, call.key)
        if stored is None:
            raise not_found("", "pods", call.path.name)
        self._spend(stored, options)
        if not options.is_dry_run:
            self._cluster.writer.mutate(call.kind, stored, marked_pod(stored.copy(), self._cluster.now()))
        self._cluster.deleter.delete(call.kind, call.key, options)
        return json_answer(_EVICTED, status=201)

    def _options(self, call: Call, eviction: ReadOnlyJson) -> DeleteOptions:
        """Return how the pod is deleted; a dry run may be asked for beside the object or in it."""
        wishes = typed_delete_options(self._cluster.schemas, eviction.get("deleteOptions") or {})
        dry = call.query.get("dryRun", "")
        return decode_delete_options({**wishes, **({"dryRun": [dry]} if dry and not wishes.get("dryRun") else {})}, {})

    def _spend(self, pod: Stored, options: DeleteOptions) -> None:
        """Take one disruption from the pod's budget. Raises Refusal: 403, 429, 500."""
        kind = self._cluster.registry.find("policy", "v1", "poddisruptionbudgets")
        stored = {
            each.key: each for each in self._cluster.storage.items(kind.storage_name) if each.key[0] == pod.key[0]
        }
        budgets = budgets_of(pod.object, [each.object for each in stored.values()])
        spent = spent_budget(pod.object, budgets, self._cluster.now())
        if spent is not None and not options.is_dry_run:
            self._cluster.writer.mutate(kind, stored[pod.key[0], spent["metadata"]["name"]], spent)


def _check_named(eviction: ReadOnlyJson, name: str) -> None:
    if eviction.get("kind") not in (None, "", "Eviction"):
        raise bad_request(f"not a Eviction object: {eviction['kind']}")
    if (eviction.get("metadata") or {}).get("name") != name:
        raise bad_request("name in URL does not match name in Eviction object")
