"""Which paths, and methods of them, any rule takes, found without looking at every rule. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rayfleet_gateway.route.match import Match, PathKind, matches_host, matches_path

Place = tuple[str, PathKind, str, str]
"""Host name, kind, path and method of a rule; the method empty where it asks for none, EVERY where it takes each."""
EVERY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathIndex:
    """The paths of a table. ``prefix_lengths`` are the lengths of the prefixes, each once.

    The values are the host names that take a path. ``of_methods`` are the paths of the rules that ask for a method, or
    take EVERY one.
    """

    exact: Mapping[str, frozenset[str]] = field(default_factory=dict)
    prefixes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    prefix_lengths: tuple[int, ...] = ()
    patterns: tuple[Match, ...] = ()
    of_methods: Mapping[str, "PathIndex"] = field(default_factory=dict)

    def takes(self, host: str, path: str) -> bool:
        """Whether any rule takes this path, whatever the model; ``host`` plain."""
        hosts = self.exact.get(path)
        if hosts is not None and _has_host(hosts, host):
            return True
        size = len(path)
        for length in self.prefix_lengths:
            if length < size and path[length] != "/":
                continue
            hosts = self.prefixes.get(path[:length]) if length <= size else None
            if hosts is not None and _has_host(hosts, host):
                return True
        return any(matches_host(match.hostname, host) and matches_path(match, path) for match in self.patterns)

    def asks_for(self, method: str, host: str, path: str) -> bool:
        """Whether any rule takes this path and asks for this very method, or takes every one."""
        indexes = (self.of_methods.get(each) for each in (method, EVERY))
        return any(index is not None and index.takes(host, path) for index in indexes)


def path_index(places: Iterable[Place]) -> PathIndex:
    """Return the index of these places; the same for the same ones, in whatever order."""
    known = sorted(places)
    by_kind: dict[PathKind, dict[str, set[str]]] = {kind: {} for kind in PathKind}
    for hostname, kind, path, _ in known:
        by_kind[kind].setdefault(path.rstrip("/") if kind is PathKind.PREFIX else path, set()).add(hostname)
    prefixes = by_kind[PathKind.PREFIX]
    return PathIndex(
        exact=_frozen(by_kind[PathKind.EXACT]),
        prefixes=_frozen(prefixes),
        prefix_lengths=tuple(sorted({len(prefix) for prefix in prefixes})),
        patterns=tuple(
            Match(path=path, kind=PathKind.PATTERN, hostname=hostname)
            for path, hosts in by_kind[PathKind.PATTERN].items()
            for hostname in sorted(hosts)
        ),
        of_methods={
            method: path_index({(hostname, kind, path, "") for hostname, kind, path, asked in known if asked == method})
            for method in sorted({method for *_, method in known} - {""})
        },
    )


def _frozen(hosts: Mapping[str, set[str]]) -> Mapping[str, frozenset[str]]:
    return {path: frozenset(names) for path, names in hosts.items()}


def _has_host(hosts: frozenset[str], host: str) -> bool:
    return host in hosts or any(matches_host(hostname, host) for hostname in hosts)
