"""What a rule's filters change of a request and its answer, as the writers of heads take it. Pure."""

from http import HTTPStatus

from rayfleet_gateway.answer.head import CRLF, Reply
from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.request.headers import NO_EDITS, Edits
from rayfleet_gateway.route.filters import NO_FILTERS, Filters, Redirect, redirect_location, rewritten_target
from rayfleet_gateway.route.table import Rule

_SCHEME = "http"  # what is spoken on the clients' port


def edits_of(rule: Rule, head: RequestHead) -> Edits:
    """Return what goes upstream in place of what the client sent."""
    filters = rule.filters
    if filters is NO_FILTERS:
        return NO_EDITS
    target, host = b"", b""
    if filters.rewrite is not None:
        target = rewritten_target(filters.rewrite, rule.match.prefix, head.target, head.path)
        host = filters.rewrite.hostname.encode("latin-1")
    edit = filters.request_headers
    if edit is None:
        return Edits(target=target, host=host)
    return Edits(
        put=tuple((name.lower(), value) for name, value in edit.set if name.lower() not in edit.remove),
        add=tuple(pair for pair in edit.add if pair[0].lower() not in edit.remove),
        drop=edit.remove,
        target=target,
        host=host,
    )


def added_lines(filters: Filters) -> tuple[bytes, frozenset[bytes]]:
    """Return whole header lines to add to an answer, and the names that the engine's answer loses."""
    edit = filters.response_headers
    if edit is None:
        return b"", frozenset()
    lines = [b"%b: %b\r\n" % pair for pair in (*edit.set, *edit.add) if pair[0].lower() not in edit.remove]
    return b"".join(lines), edit.remove | edit.replaced


def redirection(rule: Rule, redirect: Redirect, head: RequestHead, reply: Reply) -> bytes:
    """Return the whole answer of a rule that redirects; ``reply`` has the header lines to add."""
    location = redirect_location(
        redirect,
        rule.match.prefix,
        scheme=_SCHEME,
        host=head.joined.get("host", ""),
        target=head.target.decode("latin-1"),
        path=head.path,
    )
    lines = [
        f"HTTP/1.1 {redirect.status} {HTTPStatus(redirect.status).phrase}",
        f"Location: {location}",
        "Content-Length: 0",
        f"X-Request-Id: {reply.request_id}",
        *([] if reply.is_keep_alive else ["Connection: close"]),
    ]
    return CRLF.join(lines).encode("latin-1", "replace") + b"\r\n" + reply.more + b"\r\n"
