"""Every answer that is the gateway's own, in OpenAI's error shape. Pure.

``{"error": {"message", "type", "param", "code"}}``, so that the OpenAI clients raise the class they should (404 NotFoundError,
400 BadRequestError, ...). Codes: model_not_found, model_not_ready, upstream_error, request_too_large, invalid_request_error.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import orjson

RETRY_AFTER_SECONDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error answer: status, stable code, and a sentence that says whose fault it is and what to do."""

    status: HTTPStatus
    code: str
    message: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """Return the JSON body."""
        kind = "invalid_request_error" if self.status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return orjson.dumps({"error": error})

    def event(self) -> bytes:
        """Return the server-sent event that ends a stream which began well; no ``[DONE]`` follows it."""
        return b"data: " + self.body() + b"\n\n"


def bad_request(message: str, param: str | None = None) -> Refusal:
    """Return a 400."""
    return Refusal(status=HTTPStatus.BAD_REQUEST, code="invalid_request_error", message=message, param=param)


def model_not_found(model: str, known: Sequence[str]) -> Refusal:
    """Return a 404 that names up to three models with names like ``model``."""
    near = difflib.get_close_matches(model, known, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(near)}?" if near else " GET /v1/models lists the models."
    return Refusal(
        status=HTTPStatus.NOT_FOUND,
        code="model_not_found",
        message=f"The model `{model[:200]}` does not exist.{hint}",
        param="model",
    )


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
    """Return a 504."""
    return Refusal(
        status=HTTPStatus.GATEWAY_TIMEOUT, code="upstream_timeout", message=f"The model `{model}` gave {what}"
    )


def too_large(limit_bytes: int) -> Refusal:
    """Return a 413."""
    return Refusal(
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        code="request_too_large",
        message=f"The request's body is larger than {limit_bytes / 2**20:.0f} MiB.",
    )
