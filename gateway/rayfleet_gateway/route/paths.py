"""Which paths any rule takes, found without looking at every rule. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rayfleet_gateway.route.match import Match, PathKind, matches_host, matches_path

Place = tuple[str, PathKind, str, bool]
"""Host name, kind and path of a match, and whether it names a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathIndex:
    """The paths of a table. ``prefix_lengths`` are the lengths of the prefixes, each once.

    The values are the host names that take a path, each with whether some rule there names a model.
    """

    exact: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    prefixes: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    prefix_lengths: tuple[int, ...] = ()
    patterns: tuple[tuple[Match, bool], ...] = ()

    def takes(self, host: str, path: str) -> bool:
        """Whether any rule takes this path, whatever the model; ``host`` plain."""
        return self._seek(host, path, of_models=False)

    def takes_models(self, host: str, path: str) -> bool:
        """Whether a rule that names a model takes this path: only then must a request say one."""
        return self._seek(host, path, of_models=True)

    def _seek(self, host: str, path: str, *, of_models: bool) -> bool:
        hosts = self.exact.get(path)
        if hosts is not None and _has_host(hosts, host, of_models=of_models):
            return True
        size = len(path)
        for length in self.prefix_lengths:
            if length < size and path[length] != "/":
                continue
            hosts = self.prefixes.get(path[:length]) if length <= size else None
            if hosts is not None and _has_host(hosts, host, of_models=of_models):
                return True
        for match, names_model in self.patterns:
            if (names_model or not of_models) and matches_host(match.hostname, host) and matches_path(match, path):
                return True
        return False


def path_index(places: Iterable[Place]) -> PathIndex:
    """Return the index of these places; the same for the same ones, in whatever order."""
    by_kind: dict[PathKind, dict[str, dict[str, bool]]] = {kind: {} for kind in PathKind}
    for hostname, kind, path, names_model in sorted(places):
        hosts = by_kind[kind].setdefault(path.rstrip("/") if kind is PathKind.PREFIX else path, {})
        hosts[hostname] = hosts.get(hostname, False) or names_model
    patterns = tuple(
        (Match(path=path, kind=PathKind.PATTERN, hostname=hostname), names_model)
        for path, hosts in by_kind[PathKind.PATTERN].items()
        for hostname, names_model in hosts.items()
    )
    prefixes = by_kind[PathKind.PREFIX]
    return PathIndex(
        exact=by_kind[PathKind.EXACT],
        prefixes=prefixes,
        prefix_lengths=tuple(sorted({len(prefix) for prefix in prefixes})),
        patterns=patterns,
    )


def _has_host(hosts: Mapping[str, bool], host: str, *, of_models: bool) -> bool:
    for hostname, names_model in hosts.items():
        if (names_model or not of_models) and matches_host(hostname, host):
            return True
    return False
