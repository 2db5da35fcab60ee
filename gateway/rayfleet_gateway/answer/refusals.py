"""Every answer that is the gateway's own, in OpenAI's error shape. Pure.

``{"error": {"message", "type", "param", "code"}}``, so that the OpenAI clients raise the class they should (404
NotFoundError, 400 BadRequestError, ...), and ``x-should-retry`` where they should not guess. Codes: model_not_found,
model_not_ready, route_without_backend, path_not_found, method_not_allowed, invalid_request_error, request_too_large,
request_timeout, upstream_error, upstream_timeout, gateway_starting, gateway_stopping, internal_error.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import orjson

from rayfleet_gateway.model.errors import HeadRefused

RETRY_AFTER_SECONDS = 2
COMPARED_NAMES = 200  # each costs some 20 us, in the loop that all streams share
QUOTED_CHARACTERS = 200
_STATUSES = frozenset(HTTPStatus)
NO_RETRY = {"x-should-retry": "false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error answer: status, stable code, and a sentence that says whose fault it is and what to do."""

    status: HTTPStatus
    code: str
    message: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, path: str = "") -> bytes:  # noqa: ARG002 - Anthropic's clients read a shape of their own
        """Return the JSON body, in the shape that clients of ``path`` read."""
        kind = "invalid_request_error" if self.status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        try:
            return orjson.dumps({"error": error})
        except TypeError:  # a half of a surrogate pair, from an escape in the client's JSON
            error["message"] = self.message.encode("utf-8", "replace").decode()
            return orjson.dumps({"error": error})

    def event(self) -> bytes:
        """Return the server-sent event that ends a stream which began well; no ``[DONE]`` follows it."""
        return b"data: " + self.body() + b"\n\n"


def of_head(error: HeadRefused) -> Refusal:
    """Return the answer to a head that was refused; nothing that follows it can be told from it, so it closes."""
    return Refusal(status=error.status, code=error.code, message=str(error), headers={"Connection": "close"})


def bad_request(message: str, param: str | None = None) -> Refusal:
    """Return a 400."""
    return Refusal(status=HTTPStatus.BAD_REQUEST, code="invalid_request_error", message=message, param=param)


def model_not_found(model: str, known: Sequence[str]) -> Refusal:
    """Return a 404 that names up to three models with names like ``model``."""
    near = nearest(model, known)
    hint = f" Did you mean {' or '.join(near)}?" if near else " GET /v1/models lists the models."
    return Refusal(
        status=HTTPStatus.NOT_FOUND,
        code="model_not_found",
        message=f"The model `{model[:200]}` does not exist.{hint}",
        param="model",
    )


def nearest(model: str, known: Sequence[str]) -> list[str]:
    """Return up to three of ``known`` with names like ``model``.

    Of thousands only those of the same beginning are compared.
    """
    candidates: Sequence[str] = known
    if len(known) > COMPARED_NAMES:
        candidates = [name for name in known if name[:1].lower() == model[:1].lower()][:COMPARED_NAMES]
    return difflib.get_close_matches(model, candidates, n=3, cutoff=0.4)


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
        message=f"The model `{model}` has no ready replica now; try again in a moment.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS), "retry-after-ms": str(RETRY_AFTER_SECONDS * 1000)},
    )


def all_ejected(model: str, seconds: int) -> Refusal:
    """Return the 503 of a model whose replicas all failed just now; they are tried again after ``seconds``."""
    return Refusal(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code="model_not_ready",
        message=f"All replicas of the model `{model}` failed just now; try again in a moment.",
        headers={"Retry-After": str(seconds), "retry-after-ms": str(seconds * 1000)},
    )


def no_backend(model: str) -> Refusal:
    """Return the 500 of a route that refers to nothing that can be asked."""
    return Refusal(
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        code="route_without_backend",
        message=f"The route of the model `{model}` refers to no Service that can be asked; its status says why.",
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
        message=f"The replica that served the model `{model}` failed: {reason}",
    )


def upstream_timeout(model: str, what: str) -> Refusal:
    """Return a 504; clients should not ask the same for as long again of their own accord."""
    return Refusal(
        status=HTTPStatus.GATEWAY_TIMEOUT,
        code="upstream_timeout",
        message=f"The model `{model}` gave {what}.",
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

    Its status, its first words, its Retry-After.
    """
    words = " ".join(text.split())[:QUOTED_CHARACTERS]
    return Refusal(
        status=HTTPStatus(status) if status in _STATUSES else HTTPStatus.BAD_GATEWAY,
        code="upstream_error",
        message=f"The replica that served the model `{model}` answered {status}: {words or 'no text'}",
        headers={name: value for name, value in headers.items() if name.lower() in {"retry-after", "retry-after-ms"}},
    )


def slow_request() -> Refusal:
    """Return a 408."""
    return Refusal(
        status=HTTPStatus.REQUEST_TIMEOUT, code="request_timeout", message="The request's body did not come in time."
    )


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
    )
