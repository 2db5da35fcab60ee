"""One HTTPRoute with all that it hangs on -> its rules, its problems, what its Gateways are to be told. Pure.

A rule that cannot be used as it is written is dropped and told; the route's other rules stay (Gateway API's
``PartiallyInvalid``). A reference that leads nowhere stays in its rule as a backend that is not valid.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import GATEWAYS, HTTP_ROUTES, REFERENCE_GRANTS, SERVICES
from rayfleet.objects.labels import PROFILE_ANNOTATION
from rayfleet.objects.meta import annotation, created_at
from rayfleet.objects.parts import is_identical, part
from rayfleet.objects.routes import parent_references
from rayfleet.objects.times import encode_time
from rayfleet_gateway.model.errors import Unusable
from rayfleet_gateway.route.gateways import Attachment, GatewaySpec, attachment
from rayfleet_gateway.route.match import Match, rank_of
from rayfleet_gateway.route.problems import Problem, problem_of
from rayfleet_gateway.route.reading import RouteParts, read_route, target_of
from rayfleet_gateway.route.services import Services
from rayfleet_gateway.route.table import Backend, Rule

_MOST_LINES = 1024  # matches times host names: compiling that many takes some 5 ms of the loop that all streams share
Name = tuple[str, ObjectKey]
"""Kind and key of an object that a route names; of a grant the namespace alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRoute:
    """What became of a route.

    ``spec``, ``created`` and ``profile`` are what it was read from; ``names`` what it must be compiled again for.
    ``refusals`` are the rules (or all) that are not used, ``unresolved`` the references that are not valid,
    ``remarks`` what is used otherwise than it says. ``lines`` are the rules but for their backends: match, rank, place
    of the rule.
    """

    spec: Json
    created: str
    profile: str
    names: frozenset[Name]
    parts: RouteParts
    attachment: Attachment
    lines: tuple[tuple[Match, tuple[int | str, ...], int], ...]
    backends: tuple[tuple[Backend, ...], ...]
    rules: tuple[Rule, ...]
    refusals: tuple[Unusable, ...]
    unresolved: tuple[Unusable, ...]
    remarks: tuple[Unusable, ...]
    problems: tuple[Problem, ...] = field(compare=False)


def any_profile(_: str) -> str:
    """Find nothing wrong with the name of a profile."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a route is compiled with. ``only`` and ``profile_fault``: see ``RouteCompiler``."""

    services: Services
    gateways: Mapping[ObjectKey, GatewaySpec]
    only: ObjectKey | None = None
    profile_fault: Callable[[str], str] = any_profile


def compiled_route(
    key: ObjectKey, route: ReadOnlyJson, around: Surroundings, old: CompiledRoute | None
) -> CompiledRoute:
    """Return what becomes of the route at ``key``: ``old``, the very same, when that is what it became before."""
    spec, marks = part(route, "spec"), (_age(route), annotation(route, PROFILE_ANNOTATION))
    if old is not None and (old.created, old.profile) == marks and (old.spec is spec or is_identical(old.spec, spec)):
        base, parts = old, old.parts
    else:
        base, parts = None, _read(route)
    attached = attachment(route, key, parts.hostnames, around.gateways, around.only)
    resolved = [[around.services.backend(key, each) for each in rule.backends] for rule in parts.rules]
    backends = tuple(tuple(backend for backend, _ in of_rule) for of_rule in resolved)
    unresolved = tuple(error for of_rule in resolved for _, error in of_rule if error is not None)
    is_same_place = base is not None and attached == base.attachment
    if base is not None and is_same_place and backends == base.backends and _said(unresolved) == _said(base.unresolved):
        return base
    refusals = (*parts.refusals, *_excess(parts, attached))
    remarks = tuple(_remarks(marks[1], around.profile_fault))
    lines = base.lines if base is not None and is_same_place else _lines(key, marks[0], parts, attached)
    return CompiledRoute(
        spec=spec,
        created=marks[0],
        profile=marks[1],
        names=base.names if base else _names(key, route, parts),
        parts=parts,
        attachment=attached,
        lines=lines,
        backends=backends,
        rules=tuple(_rule(str(key), parts, backends, line, marks[1]) for line in lines),
        refusals=refusals,
        unresolved=unresolved,
        remarks=remarks,
        problems=_problems(key, attached, (*refusals, *unresolved, *remarks)),
    )


def _said(errors: tuple[Unusable, ...]) -> list[tuple[str, str, str]]:
    return [(error.field, error.reason, error.message) for error in errors]


def _age(route: ReadOnlyJson) -> str:
    created = created_at(route)
    return encode_time(created) if created is not None else ""


def _read(route: ReadOnlyJson) -> RouteParts:
    try:
        return read_route(route)
    except Unusable as refusal:
        return RouteParts(hostnames=(), rules=(), refusals=(refusal,), has_rules=False)


def _remarks(profile: str, profile_fault: Callable[[str], str]) -> Iterator[Unusable]:
    fault = profile_fault(profile) if profile else ""
    if fault:
        yield Unusable(f'metadata.annotations["{PROFILE_ANNOTATION}"]', f"{fault}; the default profile is used")


def _excess(parts: RouteParts, attached: Attachment) -> Iterator[Unusable]:
    """Yield why a route is too large to be used, if it is."""
    matches = sum(len(rule.matches) for rule in parts.rules)
    if matches * len(attached.hostnames) > _MOST_LINES:
        message = f"{matches} matches for {len(attached.hostnames)} host names are more than {_MOST_LINES} together"
        yield Unusable("spec.hostnames", message)


def _lines(
    key: ObjectKey, created: str, parts: RouteParts, attached: Attachment
) -> tuple[tuple[Match, tuple[int | str, ...], int], ...]:
    lines: list[tuple[Match, tuple[int | str, ...], int]] = []
    route = str(key)
    if next(_excess(parts, attached), None) is not None:
        return ()
    for place, rule in enumerate(parts.rules):
        for order, match in rule.matches:
            for hostname in attached.hostnames:
                of_host = replace(match, hostname=hostname) if hostname else match
                lines.append((of_host, rank_of(of_host, created=created, route=route, order=order), place))
    return tuple(lines)


def _rule(
    route: str,
    parts: RouteParts,
    backends: tuple[tuple[Backend, ...], ...],
    line: tuple[Match, tuple[int | str, ...], int],
    profile: str,
) -> Rule:
    match, rank, place = line
    rule = parts.rules[place]
    return Rule(
        match=match,
        route=route,
        rank=rank,
        backends=backends[place],
        request_timeout=rule.request_timeout,
        backend_timeout=rule.backend_timeout,
        filters=rule.filters,
        profile=profile,
    )


def _names(key: ObjectKey, route: ReadOnlyJson, parts: RouteParts) -> frozenset[Name]:
    targets = {target_of(reference, key) for rule in parts.rules for reference in rule.backends}
    elsewhere = {target.namespace for target in targets if target.namespace != key.namespace}
    return frozenset(
        (
            *((GATEWAYS.kind, each.gateway) for each in parent_references(route) if each.gateway is not None),
            *((SERVICES.kind, target) for target in targets),
            *((REFERENCE_GRANTS.kind, ObjectKey(namespace=namespace, name="")) for namespace in elsewhere),
        )
    )


def _problems(key: ObjectKey, attached: Attachment, errors: tuple[Unusable, ...]) -> tuple[Problem, ...]:
    """Return what is to be told of a route; nothing of one that is none of ours."""
    refused = [parent.refusal for parent in attached.parents if parent.refusal is not None]
    problems = [problem_of(HTTP_ROUTES.kind, key, "spec.parentRefs", *refusal) for refusal in refused]
    if attached.hostnames or attached.parents:
        problems += [problem_of(HTTP_ROUTES.kind, key, each.field, each.reason, each.message) for each in errors]
    return tuple(dict.fromkeys(problems))
