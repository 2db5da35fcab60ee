"""Which model a request asks for: header, body or form, by its path. Pure.

``asked`` answers at once and is for bodies that cost less than a slice; ``slices`` stops between pieces of some 2 ms,
so that the loop that every stream shares goes on meanwhile. Both say the same of every body, which is unpacked
(bodies.py). Header and body must agree wherever both name one.

On a path that need not name a model (a route of its own) a JSON body or a form that names one is still compared with
the header: the engine may read it.
"""

from collections.abc import Generator

from rayfleet_gateway.model.errors import AmbiguousModel, UnreadableBody
from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.request.form import form_model, is_form
from rayfleet_gateway.request.model_scan import LIMITS, ScanLimits, agreed_model, at_once, quick_model, scanned
from rayfleet_gateway.request.paths import names_model

AT_ONCE_BYTES = 32 << 10


def needs_slices(_head: RequestHead, body: bytes) -> bool:
    """Whether reading the model may take longer than a slice."""
    return len(body) > AT_ONCE_BYTES


def asked(head: RequestHead, body: bytes, limits: ScanLimits = LIMITS) -> str:
    """Return the model; empty where the path needs none and nothing names one.

    Raises UnreadableBody: nothing names a model, header and body differ, or the body does not say one thing.
    """
    if head.joined.get("content-type", "")[:10].lower() != "multipart/" and names_model(head):
        quick = quick_model(body, limits)
        if quick is not None:
            return agreed_model(_header(head), quick[0], limits)
    return at_once(slices(head, body, limits))


def slices(head: RequestHead, body: bytes, limits: ScanLimits = LIMITS) -> Generator[None, None, str]:
    """Yield between slices; return what ``asked`` returns, or raise what it raises."""
    header = _header(head)
    is_needed = names_model(head)
    try:
        named = yield from _named(head, body, limits)
    except UnreadableBody as error:
        if is_needed or (header is not None and isinstance(error, AmbiguousModel)):
            raise
        named = None  # whatever it is, it is nothing that names a model
    if named is None and header is None and not is_needed:
        return ""
    return agreed_model(header, named, limits)


def _header(head: RequestHead) -> str | None:
    """Return what the header names, None without one; a name beyond ASCII is UTF-8, as in a body."""
    value = head.joined.get("model")
    if value is None or value.isascii():
        if value is not None and "," in value and sum(name.lower() == b"model" for name, _ in head.headers) > 1:
            raise UnreadableBody("The request has the header `model` twice.")
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise UnreadableBody("The header `model` is not UTF-8.") from None


def _named(head: RequestHead, body: bytes, limits: ScanLimits) -> Generator[None, None, str | None]:
    """Return what the body names, None when it names nothing or there is none."""
    content_type = head.joined.get("content-type", "")
    if not body or (head.joined.get("model") is not None and len(body) <= AT_ONCE_BYTES and not body.strip()):
        return None
    if is_form(content_type):
        return (yield from form_model(body, content_type, limits.name))
    return (yield from scanned(body, limits))
