"""The routes of the gateway's own on the port of clients: the list of models, and one of it. Pure but for the table."""

import orjson

from rayfleet_gateway.answer import refusals
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.route.table import RouteTable

_MODELS = "/v1/models"
_METHODS = frozenset({"GET", "HEAD"})


def own_content(head: RequestHead, table: RouteTable) -> bytes | Refusal | None:
    """Return the JSON content, or the refusal, of a request that is for the gateway itself; None when it is not."""
    path = head.path
    if not path.startswith(_MODELS):
        return None
    name = path[len(_MODELS) + 1 :].rstrip("/")
    if path[len(_MODELS) :] and path[len(_MODELS)] != "/":
        return None
    if head.method not in _METHODS:
        return refusals.method_not_allowed(path, "GET, HEAD")
    if not name:
        models = [_described(table, each) for each in table.models]
        return orjson.dumps({"object": "list", "data": models})
    if name not in table.by_model:
        return refusals.model_not_found(name, table.models)
    return orjson.dumps(_described(table, name))


def _described(table: RouteTable, name: str) -> dict[str, object]:
    """Return a model in OpenAI's shape; ``ready_endpoints`` is ours. ``created`` is not known to a gateway: 0."""
    endpoints = table.endpoints_of(name)
    return {"id": name, "object": "model", "created": 0, "owned_by": "rayfleet", "ready_endpoints": len(endpoints)}
