"""Which kinds are served now. Changes when definitions come and go; everything else here only asks."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from rayfleet.local.apiserver.grammar.refusal import unknown_path
from rayfleet.local.apiserver.kinds.kind import Kind


class Registry:
    """All served kinds, built-in and custom."""

    def __init__(self, builtin: Iterable[Kind]) -> None:
        self._builtin = tuple(builtin)
        self._custom: dict[str, tuple[Kind, ...]] = {}
        self._index: dict[tuple[str, str, str], Kind] = {}
        self._listeners: list[Callable[[Sequence[Kind]], None]] = []
        self.revision = 0  # grows with each change; caches of documents go by it
        self._rebuild()

    def find(self, group: str, version: str, plural: str) -> Kind:
        """Return the kind of a path. Raises Refusal (404)."""
        kind = self._index.get((group, version, plural))
        if kind is None:
            raise unknown_path()
        return kind

    def kinds(self) -> tuple[Kind, ...]:
        """Return all served kinds, built-in ones first, then by definition."""
        return tuple(self._index.values())

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Return the served versions of each group, the preferred one first."""
        versions_of: dict[str, list[str]] = {}
        for kind in self._index.values():
            versions = versions_of.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)
        return {group: tuple(sorted(versions, key=_priority, reverse=True)) for group, versions in versions_of.items()}

    def of_definition(self, name: str) -> tuple[Kind, ...]:
        """Return the served versions of a definition's kind, none when it is not served."""
        return self._custom.get(name, ())

    def serve(self, definition: str, kinds: Iterable[Kind]) -> None:
        """Serve the kinds of a definition instead of those it had."""
        self._custom[definition] = tuple(kinds)
        self._rebuild()

    def withdraw(self, definition: str) -> None:
        """Serve the definition's kinds no more."""
        withdrawn = self._custom.pop(definition, None)
        if withdrawn is None:
            return
        self._rebuild()
        for hear in self._listeners:
            hear(withdrawn)

    def listen(self, hear: Callable[[Sequence[Kind]], None]) -> None:
        """Call ``hear`` with kinds that are served no more."""
        self._listeners.append(hear)

    def _rebuild(self) -> None:
        custom = (kind for _, kinds in sorted(self._custom.items()) for kind in kinds)
        self._index = {(kind.group, kind.version, kind.plural): kind for kind in (*self._builtin, *custom)}
        self.revision += 1


def _priority(version: str) -> tuple[int, int, int, str]:
    """Order versions as Kubernetes does: v2 > v1 > v1beta2 > v1beta1 > v1alpha1 > anything else."""
    head, _, rest = version.partition("v")
    if head or not rest:
        return (0, 0, 0, version)
    for maturity, word in ((1, "alpha"), (2, "beta")):
        major, is_such, minor = rest.partition(word)
        if is_such and major.isdigit() and minor.isdigit():
            return (maturity, int(major), int(minor), "")
    return (3, int(rest), 0, "") if rest.isdigit() else (0, 0, 0, version)
