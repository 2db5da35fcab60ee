"""Filter, score, pick: which of some endpoints gets a request. Pure; chance comes in.

A profile without filters and scorers goes straight to its picker, and nothing is made that grows with the number of
endpoints. What plugins contribute is called through guards; what they get wrong is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rayfleet.plugin.contracts import Filter, Picker, RequestView, Scorer
from rayfleet_gateway.model.errors import ContributionFault
from rayfleet_gateway.pick.endpoint_state import EndpointState
from rayfleet_gateway.pick.guard import Guard
from rayfleet_gateway.pick.pickers import LeastRequest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Guarded(Generic[T]):
    """A contribution and what watches it; our own are not watched. ``weight`` counts for scorers."""

    item: T
    guard: Guard | None = None
    weight: float = 1.0

    def ask(self, function: Callable[..., tuple[float, ...]], *arguments: object) -> tuple[float, ...]:
        """Return what ``function`` makes of the contribution and the arguments, nothing where it is left out."""
        if self.guard is None:
            return function(self.item, *arguments)
        return self.guard.call(lambda: function(self.item, *arguments), otherwise=())


_LEAST_REQUEST = LeastRequest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A profile, ready to be used."""

    name: str
    picker: Guarded[Picker]
    filters: tuple[Guarded[Filter], ...] = ()
    scorers: tuple[Guarded[Scorer], ...] = ()
    is_plain: bool = field(init=False)

    def __post_init__(self) -> None:
        is_plain = not self.filters and not self.scorers and self.picker.guard is None
        object.__setattr__(self, "is_plain", is_plain)

    def pick(self, request: RequestView, endpoints: Sequence[EndpointState], chance: float) -> EndpointState | None:
        """Return the endpoint to ask, None when there is none; ``chance`` in [0, 1)."""
        if not endpoints:
            return None
        if self.is_plain:
            return endpoints[self.picker.item.pick(request, endpoints, (), chance)]
        kept = self.kept(request, endpoints)
        if not kept:
            return None
        return kept[self._place(request, kept, self.scores(request, kept), chance)]

    @property
    def guards(self) -> tuple[Guard, ...]:
        """What watches the plugins' contributions to this profile."""
        all_guards = (*(each.guard for each in self.filters), *(each.guard for each in self.scorers), self.picker.guard)
        return tuple(guard for guard in all_guards if guard is not None)

    def kept(self, request: RequestView, endpoints: Sequence[EndpointState]) -> Sequence[EndpointState]:
        """Return the endpoints that all filters keep, in their order."""
        for each in self.filters:
            if not endpoints:
                break
            keeps = each.ask(_keeps, request, endpoints)
            if keeps:
                endpoints = tuple(state for state, is_kept in zip(endpoints, keeps, strict=True) if is_kept)
        return endpoints

    def scores(self, request: RequestView, endpoints: Sequence[EndpointState]) -> Sequence[float]:
        """Return the weighted sum of the scores of each endpoint times its share, empty when nothing scores now."""
        total: tuple[float, ...] = ()
        for each in self.scorers:
            scores = each.ask(_scores, request, endpoints)
            if scores:
                before = total or (0.0,) * len(scores)
                total = tuple(sum_ + each.weight * score for sum_, score in zip(before, scores, strict=True))
        return tuple(score * state.share for score, state in zip(total, endpoints, strict=True)) if total else ()

    def _place(
        self, request: RequestView, endpoints: Sequence[EndpointState], scores: Sequence[float], chance: float
    ) -> int:
        """Return the picker's choice; least request's where the picker fails, or all that scores is left out."""
        is_blind = bool(self.scorers) and not scores
        places = () if is_blind else self.picker.ask(_places, request, endpoints, scores, chance)
        if places:
            return int(places[0])
        return _LEAST_REQUEST.pick(request, endpoints, scores, chance)


def plain(picker: Picker) -> Pipeline:
    """Return a profile that is one picker of our own."""
    return Pipeline(name=picker.name, picker=Guarded(picker))


def _keeps(item: Filter, request: RequestView, endpoints: Sequence[EndpointState]) -> tuple[bool, ...]:
    keeps = tuple(bool(is_kept) for is_kept in item.keep(request, endpoints))
    _check_length(keeps, endpoints)
    return keeps


def _scores(item: Scorer, request: RequestView, endpoints: Sequence[EndpointState]) -> tuple[float, ...]:
    scores = tuple(item.score(request, endpoints))
    _check_length(scores, endpoints)
    if not all(0 <= score <= 1 for score in scores):
        raise ContributionFault(f"a score is not in [0, 1]: {scores[:4]}")
    return scores


def _places(
    item: Picker, request: RequestView, endpoints: Sequence[EndpointState], scores: Sequence[float], chance: float
) -> tuple[int]:
    place: object = item.pick(request, endpoints, scores, chance)
    if not isinstance(place, int) or not 0 <= place < len(endpoints):
        raise ContributionFault(f"{place!r} is no place among {len(endpoints)} endpoints")
    return (place,)


def _check_length(answers: Sequence[object], endpoints: Sequence[EndpointState]) -> None:
    if len(answers) != len(endpoints):
        raise ContributionFault(f"{len(answers)} answers for {len(endpoints)} endpoints")
