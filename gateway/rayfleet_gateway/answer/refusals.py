"""Every answer that is the gateway's own, in OpenAI's error shape. Pure.

``{"error": {"message", "type", "param", "code"}}``, so that the OpenAI clients raise the class they should (404
NotFoundError, 400 BadRequestError, ...), and ``x-should-retry`` where they should not guess. On ``/v1/messages`` the
shape is Anthropic's, ``{"type": "error", "error": {"type", "message"}}``.

No message tells the address of a pod, whoever wrote it into a reason.
"""

import difflib
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address

import orjson

from rayfleet_gateway.model.errors import BodyTooLarge, HeadRefused, UnreadableBody, UnsupportedCoding

CODES = (
    "model_not_found",
    "model_not_ready",
    "path_not_found",
    "method_not_allowed",
    "invalid_request_error",
    "unsupported_media_type",
    "expectation_failed",
    "request_too_large",
    "uri_too_long",
    "head_too_large",
    "request_timeout",
    "not_implemented",
    "http_version_not_supported",
    "upstream_error",
    "upstream_timeout",
    "gateway_starting",
    "gateway_stopping",
    "gateway_overloaded",
    "route_without_backend",
    "internal_error",
)
"""Every code; the manual has a table of them."""
RETRY_AFTER_SECONDS = 2
QUOTED_CHARACTERS = 200
_COMPARED_NEIGHBOURS = 3  # on each side of where the name would stand: each costs up to 40 us, in the loop of all
_COMPARED_CHARACTERS = 64
_END_OF_STATUSES = 600  # RFC 9110, 15
NO_RETRY = {"x-should-retry": "false"}
_CLOSES = {"Connection": "close"}
_IPV4 = r"\d{1,3}(?:\.\d{1,3}){3}"
_IPV6 = rf"(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}(?:{_IPV4}|[0-9A-Fa-f]{{0,4}})"
_ADDRESS = re.compile(rf"(?<![\w:])\[?(?:({_IPV6})(?:%[\w.-]+)?|{_IPV4})\]?(?::\d{{1,5}})?", re.ASCII)
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error answer: status, stable code, and a sentence that says whose fault it is and what to do."""

    status: int
    code: str
    message: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, path: str = "") -> bytes:
        """Return the JSON body, in the shape that clients of ``path`` read."""
        is_client = self.status < HTTPStatus.INTERNAL_SERVER_ERROR
        if _is_anthropic(path):
            fallback = "invalid_request_error" if is_client else "api_error"
            return _dumped({"type": _ANTHROPIC_TYPES.get(int(self.status), fallback), "message": self.message}, "error")
        kind = "invalid_request_error" if is_client else "server_error"
        return _dumped({"message": self.message, "type": kind, "param": self.param, "code": self.code}, None)

    def event(self, path: str = "") -> bytes:
        """Return the server-sent event that ends a stream which began well; no ``[DONE]`` follows it."""
        named = b"event: error\n" if _is_anthropic(path) else b""
        return named + b"data: " + self.body(path) + b"\n\n"


def of_head(error: HeadRefused) -> Refusal:
    """Return the answer to a head that was refused; nothing that follows it can be told from it, so it closes."""
    return Refusal(status=error.status, code=error.code, message=str(error), headers=_CLOSES)


def of_body(error: UnreadableBody | BodyTooLarge, limit_bytes: int) -> Refusal:
    """Return the answer to a body that cannot be read."""
    if isinstance(error, BodyTooLarge):
        return too_large(limit_bytes)
    if isinstance(error, UnsupportedCoding):
        status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        return Refusal(status=status, code="unsupported_media_type", message=str(error))
    return bad_request(str(error), param="model")


def head_too_large(limit_bytes: int, limit_fields: int) -> Refusal:
    """Return the 431 of a head with too many bytes or fields."""
    return Refusal(
        status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        code="head_too_large",
        message=f"The request's head has more than {limit_bytes >> 10} KiB or {limit_fields} fields.",
        headers=_CLOSES,
    )


def uri_too_long(limit_bytes: int) -> Refusal:
    """Return the 414 of a request line that alone is too long."""
    message = f"The request's target has more than {limit_bytes} bytes."
    return Refusal(status=HTTPStatus.REQUEST_URI_TOO_LONG, code="uri_too_long", message=message, headers=_CLOSES)


def bad_request(message: str, param: str | None = None) -> Refusal:
    """Return a 400."""
    return Refusal(status=HTTPStatus.BAD_REQUEST, code="invalid_request_error", message=message, param=param)


def model_not_found(model: str, known: Sequence[str]) -> Refusal:
    """Return a 404 that names up to three models with names like ``model``; ``known`` is sorted."""
    near = nearest(model, known)
    hint = f" Did you mean {' or '.join(near)}?" if near else " GET /v1/models lists the models."
    return Refusal(
        status=HTTPStatus.NOT_FOUND,
        code="model_not_found",
        message=f"The model `{model[:200]}` does not exist.{hint}",
        param="model",
    )


def no_rule(model: str, path: str, known: Sequence[str], paths: Sequence[str]) -> Refusal:
    """Return the 404 of a request that no rule takes; ``paths`` are those of the model's own rules, if it has any.

    ``model`` is empty where the path needs none.
    """
    if not model:
        return path_not_found(path)
    if not paths:
        return model_not_found(model, known)
    return Refusal(
        status=HTTPStatus.NOT_FOUND,
        code="path_not_found",
        message=f"The model `{model[:200]}` is not served at {path[:200]} but at {', '.join(sorted(paths)[:5])}.",
        param="model",
    )


def no_match(model: str, path: str) -> Refusal:
    """Return the 404 of a request at a path of its model that none of the rules there takes."""
    return Refusal(
        status=HTTPStatus.NOT_FOUND,
        code="path_not_found",
        message=f"The model `{model[:200]}` is served at {path[:200]}, but not for this host, method, header or query.",
        param="model",
    )


def nearest(model: str, known: Sequence[str]) -> list[str]:
    """Return up to three of ``known``, which is sorted, with names like ``model``; never ``model`` itself.

    Compared are the few that would stand beside it: thousands of names cost as much as seven.
    """
    place = bisect_left(known, model)
    beside = known[max(0, place - _COMPARED_NEIGHBOURS) : place + _COMPARED_NEIGHBOURS + 1]
    short = {name[:_COMPARED_CHARACTERS]: name for name in beside if name != model}
    near = difflib.get_close_matches(model[:_COMPARED_CHARACTERS], short, n=3, cutoff=0.4)
    return [short[name] for name in near]


def path_not_found(path: str) -> Refusal:
    """Return a 404 for a path that no route has."""
    return Refusal(
        status=HTTPStatus.NOT_FOUND,
        code="path_not_found",
        message=f"No route serves {path[:200]}; fleets serve /v1/completions and /v1/chat/completions.",
    )


def model_not_ready(model: str) -> Refusal:
    """Return a 503 that tells when to come back."""
    return Refusal(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code="model_not_ready",
        message=f"The {_named(model)} has no ready replica now; try again in a moment.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS), "retry-after-ms": str(RETRY_AFTER_SECONDS * 1000)},
    )


def overloaded(what: str = "is reading as many bytes of requests") -> Refusal:
    """Return the 503 of a gateway whose room for bodies, or what else it does, is taken."""
    return Refusal(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code="gateway_overloaded",
        message=f"The gateway {what} as it may; try again in a moment.",
        headers={"Retry-After": "1", "retry-after-ms": "1000", **_CLOSES},
    )


def all_ejected(model: str, seconds: int) -> Refusal:
    """Return the 503 of a model whose replicas all failed just now; they are tried again after ``seconds``."""
    return Refusal(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code="model_not_ready",
        message=f"All replicas of the {_named(model)} failed just now; try again in a moment.",
        headers={"Retry-After": str(seconds), "retry-after-ms": str(seconds * 1000)},
    )


def no_backend(model: str) -> Refusal:
    """Return the 500 of a route that refers to nothing that can be asked."""
    of_model = f" of the {_named(model)}" if model else ""
    return Refusal(
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        code="route_without_backend",
        message=f"The route{of_model} refers to no Service that can be asked; its status says why.",
        headers=NO_RETRY,
    )


def not_synced() -> Refusal:
    """Return the 503 of a gateway that has not read its routes yet."""
    return Refusal(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code="gateway_starting",
        message="The gateway has not read its routes yet; try again in a moment.",
        headers={"Retry-After": "1", "retry-after-ms": "500"},
    )


def upstream_error(model: str, reason: str) -> Refusal:
    """Return a 502: the replica was lost or broke before the answer was complete."""
    return Refusal(
        status=HTTPStatus.BAD_GATEWAY,
        code="upstream_error",
        message=f"The replica that served the {_named(model)} failed: {_without_addresses(reason)}",
    )


def upstream_timeout(model: str, what: str) -> Refusal:
    """Return a 504; clients should not ask the same for as long again of their own accord."""
    return Refusal(
        status=HTTPStatus.GATEWAY_TIMEOUT,
        code="upstream_timeout",
        message=f"The {_named(model)} gave {what}.",
        headers=NO_RETRY,
    )


def method_not_allowed(path: str, allowed: str) -> Refusal:
    """Return a 405."""
    return Refusal(
        status=HTTPStatus.METHOD_NOT_ALLOWED,
        code="method_not_allowed",
        message=f"{path[:200]} takes {allowed}.",
        headers={"Allow": allowed},
    )


def quoted_error(model: str, status: int, text: str, headers: Mapping[str, str]) -> Refusal:
    """Return an engine's error that is not JSON as one that clients can read.

    Its status (502 for one that HTTP does not know), its first words, its Retry-After.
    """
    words = _without_addresses(" ".join(text[: 4 * QUOTED_CHARACTERS].split()))[:QUOTED_CHARACTERS]
    return Refusal(
        status=status if status < _END_OF_STATUSES else HTTPStatus.BAD_GATEWAY,
        code="upstream_error",
        message=f"The replica that served the {_named(model)} answered {status}: {words or 'no text'}",
        headers={name: value for name, value in headers.items() if name.lower() in {"retry-after", "retry-after-ms"}},
    )


def slow_request(part: str = "body") -> Refusal:
    """Return a 408; what comes late would be taken for the next request, so it closes."""
    message = f"The request's {part} did not come in time."
    return Refusal(status=HTTPStatus.REQUEST_TIMEOUT, code="request_timeout", message=message, headers=_CLOSES)


def stopping() -> Refusal:
    """Return the 503, or the last event, of a request that this gateway has no more time for."""
    return Refusal(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code="gateway_stopping",
        message="The gateway stopped before the answer was complete; ask again.",
        headers={"Retry-After": "1", "retry-after-ms": "500", "Connection": "close"},
    )


def internal(request_id: str) -> Refusal:
    """Return the 500 of a fault of ours; the log has the rest."""
    return Refusal(
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        code="internal_error",
        message=f"The gateway failed; its log tells more about request {request_id}.",
        headers=NO_RETRY,
    )


def too_large(limit_bytes: int) -> Refusal:
    """Return a 413."""
    return Refusal(
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        code="request_too_large",
        message=f"The request's body is larger than {limit_bytes / 2**20:.0f} MiB.",
        headers=_CLOSES,
    )


def _named(model: str) -> str:
    """Return what failed, as messages name it: paths of a route's own need no model."""
    return f"model `{model[:200]}`" if model else "route"


def _is_anthropic(path: str) -> bool:
    return path.startswith("/v1/messages")


def _dumped(error: dict[str, str | None], kind: str | None) -> bytes:
    content = {"error": error} if kind is None else {"type": kind, "error": error}
    try:
        return orjson.dumps(content)
    except TypeError:  # a half of a surrogate pair, from an escape in the client's JSON
        error["message"] = (error["message"] or "").encode("utf-8", "replace").decode()
        return orjson.dumps(content)


def _without_addresses(reason: str) -> str:
    return _ADDRESS.sub(lambda match: match[0] if match[1] and not _is_address(match[1]) else "[address]", reason)


def _is_address(text: str) -> bool:
    """Whether what has colons is an address: a time of day is none."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
