"""The rules of all routes, kept so that the next table costs what changed and a shallow copy. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

from rayfleet.model.meta import ObjectKey
from rayfleet_gateway.route.paths import PathIndex, Place, path_index
from rayfleet_gateway.route.table import RouteTable, Rule, place_of


class Tabling:
    """``table`` is what ``put`` has been told; one that was given out never changes."""

    def __init__(self) -> None:
        self._rules: dict[str | None, dict[ObjectKey, tuple[Rule, ...]]] = {}  # by model (None: any) and route
        self._merged: dict[str | None, tuple[Rule, ...]] = {}
        self._models: tuple[str, ...] = ()
        self._places: Counter[Place] = Counter()
        self._paths: PathIndex | None = PathIndex()
        self._table: RouteTable | None = RouteTable()

    def put(self, route: ObjectKey, old: Sequence[Rule], new: Sequence[Rule]) -> None:
        """Take a route's rules in the place of those that it had."""
        if old is new:
            return
        self._count(old, new)
        of_model: dict[str | None, list[Rule]] = {}
        for rule in new:
            of_model.setdefault(rule.model, []).append(rule)
        for model in {rule.model for rule in old} | of_model.keys():
            self._put_model(model, route, of_model.get(model, ()))
        self._table = None

    def table(self) -> RouteTable:
        """Return the table of all rules."""
        if self._table is None:
            by_model = {model: rules for model, rules in self._merged.items() if model is not None}
            if by_model.keys() != set(self._models):
                self._models = tuple(sorted(by_model))
            if self._paths is None:
                self._paths = path_index(self._places)
            self._table = RouteTable(
                by_model=by_model, for_any=self._merged.get(None, ()), models=self._models, paths=self._paths
            )
        return self._table

    def _put_model(self, model: str | None, route: ObjectKey, rules: Sequence[Rule]) -> None:
        by_route = self._rules.setdefault(model, {})
        if rules:
            by_route[route] = tuple(rules)
        else:
            by_route.pop(route, None)
        if by_route:
            merged: Iterable[Rule] = (rule for each in by_route.values() for rule in each)
            self._merged[model] = tuple(sorted(merged, key=lambda rule: rule.rank))
        else:
            del self._rules[model]
            self._merged.pop(model, None)

    def _count(self, old: Sequence[Rule], new: Sequence[Rule]) -> None:
        """Take note of the paths; only where one appears or goes is the index made anew."""
        before, now = Counter(map(place_of, old)), Counter(map(place_of, new))
        if before == now:
            return
        for place, count in (now - before).items():
            if place not in self._places:
                self._paths = None
            self._places[place] += count
        for place, count in (before - now).items():
            self._places[place] -= count
            if not self._places[place]:
                del self._places[place]
                self._paths = None
