"""Filters of a rule as they are written -> ``Filters``; what this gateway does not do is refused by name. Pure.

Source: Gateway API v1.6, HTTPRouteFilter. A kind may stand once in a rule; a redirect and a rewrite exclude each other.
"""

import re

from rayfleet_gateway.route.fields import Field
from rayfleet_gateway.route.filters import FRAMING, NAMES, Filters, HeaderEdit, PathChange, Redirect, Rewrite

_MOST_FILTERS, _MOST_HEADERS = 16, 16
_TOKEN = re.compile(r"[!#$%&'*+.^`|~0-9A-Za-z_-]{1,256}")
_VALUE = re.compile(r"[\x20-\x7e]{0,4096}")  # neither a line's end nor a byte that readers take in two ways
_PATH = re.compile(r"(/([A-Za-z0-9/_.~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)?")
_PRECISE_HOSTNAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_REQUEST, _RESPONSE, _REDIRECT, _REWRITE = (
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestRedirect",
    "URLRewrite",
)
_PARTS = {
    _REQUEST: "requestHeaderModifier",
    _RESPONSE: "responseHeaderModifier",
    _REDIRECT: "requestRedirect",
    _REWRITE: "urlRewrite",
}
_STATUSES = frozenset({301, 302, 303, 307, 308})


def read_filters(raw: Field, *, is_prefix: bool) -> Filters:
    """Return the filters of a rule; ``is_prefix``: all its matches are of a path prefix. Raises Unusable."""
    parts: dict[str, Field] = {}
    for each in raw.items(_MOST_FILTERS):
        kind = each.at("type").text()
        if kind not in _PARTS:
            each.at("type").refuse(f"filters of type {kind:.40} are not supported")
        each.only({"type", _PARTS[kind]})
        if kind in parts:
            each.at("type").refuse(f"there are two filters of type {kind}", "IncompatibleFilters")
        parts[kind] = each.at(_PARTS[kind])
    if _REDIRECT in parts and _REWRITE in parts:
        raw.refuse(f"{_REDIRECT} and {_REWRITE} exclude each other", "IncompatibleFilters")
    request, response = parts.get(_REQUEST), parts.get(_RESPONSE)
    rewrite, redirect = parts.get(_REWRITE), parts.get(_REDIRECT)
    return Filters(
        request_headers=_read_edit(request) if request else None,
        response_headers=_read_edit(response) if response else None,
        rewrite=_read_rewrite(rewrite, is_prefix=is_prefix) if rewrite else None,
        redirect=_read_redirect(redirect, is_prefix=is_prefix) if redirect else None,
    )


def token(field: Field) -> str:
    """Return the name of a header or parameter. Raises Unusable."""
    text = field.text()
    return text if _TOKEN.fullmatch(text) else field.refuse(f"{text!r:.80} is no name of a header or parameter")


def _read_edit(raw: Field) -> HeaderEdit:
    raw.only({"set", "add", "remove"})
    removed = (_header_name(each) for each in raw.at("remove").items(_MOST_HEADERS))
    return HeaderEdit(
        set=_read_headers(raw.at("set")),
        add=_read_headers(raw.at("add")),
        remove=frozenset(name.lower().encode() for name in removed),
    )


def _read_headers(raw: Field) -> tuple[tuple[bytes, bytes], ...]:
    """Return names and values; of equal names the first counts."""
    headers: dict[str, tuple[bytes, bytes]] = {}
    for each in raw.items(_MOST_HEADERS):
        each.only({"name", "value"})
        name, value = _header_name(each.at("name")), each.at("value").text()
        if not _VALUE.fullmatch(value):
            each.at("value").refuse("has a letter that no header may have")
        headers.setdefault(name.lower(), (name.encode(), value.strip().encode()))
    return tuple(headers.values())


def _header_name(field: Field) -> str:
    name = token(field)
    is_ours = name.lower() in FRAMING or name.lower() in NAMES
    return field.refuse(f"the header {name} is not a route's to change") if is_ours else name


def _read_rewrite(raw: Field, *, is_prefix: bool) -> Rewrite:
    raw.only({"hostname", "path"})
    return Rewrite(hostname=_read_hostname(raw.at("hostname")), path=_read_path(raw.at("path"), is_prefix=is_prefix))


def _read_redirect(raw: Field, *, is_prefix: bool) -> Redirect:
    raw.only({"scheme", "hostname", "path", "port", "statusCode"})
    status = raw.at("statusCode").number(otherwise=302)
    if status not in _STATUSES:
        raw.at("statusCode").refuse(f"{status} is no status of a redirect")
    return Redirect(
        scheme=raw.at("scheme").choice({"http", "https"}) if raw.at("scheme").is_set else "",
        hostname=_read_hostname(raw.at("hostname")),
        path=_read_path(raw.at("path"), is_prefix=is_prefix),
        port=raw.at("port").number(least=1, most=65535) if raw.at("port").is_set else 0,
        status=status,
    )


def _read_hostname(field: Field) -> str:
    if not field.is_set:
        return ""
    text = field.text().lower()
    return text if _PRECISE_HOSTNAME.fullmatch(text) else field.refuse(f"{text!r:.80} is no precise host name")


def _read_path(raw: Field, *, is_prefix: bool) -> PathChange | None:
    if not raw.is_set:
        return None
    kind = raw.at("type").choice({"ReplaceFullPath", "ReplacePrefixMatch"})
    name = "replaceFullPath" if kind == "ReplaceFullPath" else "replacePrefixMatch"
    raw.only({"type", name})
    text = raw.at(name).text()
    if not _PATH.fullmatch(text):
        raw.at(name).refuse(f"{text!r:.80} is no absolute path")
    if kind == "ReplaceFullPath":
        return PathChange(full=text)
    if not is_prefix:
        raw.refuse("ReplacePrefixMatch needs matches of type PathPrefix", "IncompatibleFilters")
    return PathChange(prefix=text)
