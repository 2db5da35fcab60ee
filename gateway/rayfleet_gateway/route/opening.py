"""Whether a rule that a request matches may also take it: which paths and methods a rule opens. Pure.

What may be opened is ``request/paths.py``'s to say; here a rule is held against it. One that redirects opens whatever
it matches: no engine is reached by it.
"""

from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.request.paths import is_open, is_taken
from rayfleet_gateway.route.match import PathKind
from rayfleet_gateway.route.table import Rule


def opens_path(rule: Rule, path: str) -> bool:
    """Whether a rule opens a decoded path that it matches."""
    if rule.filters.redirect is not None:
        return True
    match = rule.match
    rule_path = "" if match.kind is PathKind.PATTERN else match.path
    return is_open(path, rule_path=rule_path, is_exact=match.kind is PathKind.EXACT)


def takes_method(rule: Rule, head: RequestHead) -> bool:
    """Whether a rule takes the request's method: on a listed path another than POST must be asked for."""
    return bool(rule.match.method) or rule.filters.redirect is not None or is_taken(head)
