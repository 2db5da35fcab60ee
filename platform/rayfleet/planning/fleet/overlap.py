"""Fleets whose selectors select each other's templates: nothing is stolen, but somebody should say so. Pure.

Only what nobody controls changes hands (``planning.claims``), so neither touches the other's; but an orphan could go to
either. The fleet whose selector selects the other's template says it; of two that select each other's, the younger.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from rayfleet.manifest.fleet import written_template_labels
from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.fleet import Fleet
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.conditions import Conditions, new_condition, with_condition, without_condition
from rayfleet.objects.meta import created_at, name_of, namespace_of, uid_of
from rayfleet.objects.selectors import selects
from rayfleet.planning.fleet.claimant import fleet_claimant, might_claim

SELECTOR_OVERLAP = "SelectorOverlap"
_MOST_NAMED = 5


def template_label_pairs(fleet: ReadOnlyJson) -> Iterator[str]:
    """Yield the labels of a fleet's template, each with the namespace: what a store of fleets files it under."""
    for name, value in written_template_labels(fleet).items():
        yield label_pair(namespace_of(fleet), name, str(value))


def label_pair(namespace: str, name: str, value: str) -> str:
    """Return one of ``template_label_pairs``."""
    return f"{namespace}/{name}={value}"


def selected_pairs(fleet: Fleet) -> tuple[str, ...]:
    """Return the pairs all of which a template has that the fleet's selector selects; empty: it may be any."""
    labels = fleet_claimant(fleet).selector.match_labels
    return tuple(label_pair(fleet.meta.namespace, name, value) for name, value in labels.items())


def overlapping(fleet: Fleet, labels: Mapping[str, str], others: Iterable[ReadOnlyJson]) -> tuple[str, ...]:
    """Return the names of the fleets among ``others`` that this one has to speak of, sorted.

    ``labels`` are those of its own template; ``others`` are of its namespace, itself may be among them.
    """
    selector = fleet_claimant(fleet).selector

    def is_ours_to_say(other: ReadOnlyJson) -> bool:
        if uid_of(other) == fleet.meta.uid or not selects(selector, written_template_labels(other)):
            return False
        return not (might_claim(other, labels) and _is_older(fleet, other))

    return tuple(sorted(name_of(each) for each in others if is_ours_to_say(each)))


def with_overlap(conditions: Conditions, names: tuple[str, ...], now: datetime) -> Conditions:
    """Return the conditions with SelectorOverlap while there are such fleets."""
    if not names:
        return without_condition(conditions, SELECTOR_OVERLAP)
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    message = (
        f"The selector selects the templates of other fleets too: {', '.join(names[:_MOST_NAMED])}{more}."
        " Neither touches the other's replica sets; give each fleet a label of its own."
    )
    condition = new_condition(SELECTOR_OVERLAP, ConditionStatus.TRUE, SELECTOR_OVERLAP, message, now)
    return with_condition(conditions, condition)


def _is_older(fleet: Fleet, other: ReadOnlyJson) -> bool:
    return _age(fleet.meta.created_at, fleet.meta.name) < _age(created_at(other), name_of(other))


def _age(created: datetime | None, name: str) -> tuple[float, str]:
    return (created.timestamp() if created else float("inf")), name
