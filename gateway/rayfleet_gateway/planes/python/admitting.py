"""What a head alone decides, before a body is read: the gateway answers by itself, or refuses. Reads the table."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from rayfleet_gateway.answer import refusals
from rayfleet_gateway.answer.cors import is_preflight, opened, preflight
from rayfleet_gateway.answer.head import whole_answer
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.planes.python.own_routes import own_content
from rayfleet_gateway.planes.python.shared import Shared
from rayfleet_gateway.request.paths import LISTED_METHOD, is_taken


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """An answer of the gateway's own; ``text`` makes all of it from ``request_id`` and ``is_keep_alive``."""

    status: HTTPStatus
    text: Callable[..., bytes]


def own_answer(shared: Shared, head: RequestHead) -> OwnAnswer | Refusal | None:
    """Return the answer, or the refusal, of a request that no engine gets; None for all others."""
    cors = shared.cors
    if cors.origins and is_preflight(head, cors):
        return OwnAnswer(HTTPStatus.NO_CONTENT, partial(preflight, head, cors))
    own = own_content(head, shared.tables.table, shared.model_list) if shared.tables.is_synced else None
    if isinstance(own, bytes):
        text = partial(whole_answer, own, is_head=head.method == "HEAD", more=opened(head, cors))
        return OwnAnswer(HTTPStatus.OK, text)
    return own or _refusal(shared, head)


def _refusal(shared: Shared, head: RequestHead) -> Refusal | None:
    """Return why a request is refused whatever its body says, None when it is not."""
    tables, limit = shared.tables, shared.settings.body_limit_bytes
    if not tables.is_synced:
        return refusals.not_synced()
    if not tables.table.has_path(head.host, head.path):
        return refusals.path_not_found(head.path)
    if not is_taken(head) and not tables.table.asks_for(head.method, head.host, head.path):
        return refusals.method_not_allowed(head.path, LISTED_METHOD)
    return refusals.too_large(limit) if head.length is not None and head.length > limit else None
