"""Which pods this node takes up, hears news of, gives up and forgets. Pure.

A pod is known by its uid and stands in one place: not known (any pod, until something is done about it), or

    UNFIT     it waits for accelerators, and its status says so
    SERVED    bound to this node, with a worker
    FINISHED  its worker has removed it; the watch may still show it, and it must not be taken up again
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.meta import is_terminating, uid_of
from rayfleet.objects.pods import is_finished, node_name


class Standing(StrEnum):
    """Where a pod stands with this node."""

    UNFIT = "unfit"
    SERVED = "served"
    FINISHED = "finished"


NEXT: Mapping[Standing | None, frozenset[Standing | None]] = MappingProxyType(
    {
        None: frozenset({Standing.UNFIT, Standing.SERVED}),  # does not fit; bound here
        Standing.UNFIT: frozenset({Standing.SERVED, None}),  # bound here; gone, or bound elsewhere
        Standing.SERVED: frozenset({Standing.FINISHED, None}),  # its worker removed it; its worker failed: begun anew
        Standing.FINISHED: frozenset({None}),  # the watch shows it no more
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterChanges:
    """What is to be done: pods to begin and to tell their workers of, uids to give up and to forget."""

    begun: tuple[ReadOnlyJson, ...]
    updated: tuple[ReadOnlyJson, ...]
    vanished: tuple[str, ...]
    forgotten: tuple[str, ...]


def roster_changes(standings: Mapping[str, Standing], pods: Sequence[ReadOnlyJson], node: str) -> RosterChanges:
    """Return what is to be done about the pods of the API server. A pod that has run to its end is not begun again."""
    bound = {uid_of(pod): pod for pod in pods if node_name(pod) == node}
    ours_or_free = {uid_of(pod) for pod in pods if node_name(pod) in {node, ""}}
    return RosterChanges(
        begun=tuple(
            pod for uid, pod in bound.items() if Standing.SERVED in NEXT[standings.get(uid)] and not _is_over(pod)
        ),
        updated=tuple(pod for uid, pod in bound.items() if standings.get(uid) is Standing.SERVED),
        vanished=tuple(  # deleted by force, or the store was put back
            uid for uid, standing in standings.items() if standing is Standing.SERVED and uid not in bound
        ),
        forgotten=tuple(
            uid
            for uid, standing in standings.items()
            if (standing is Standing.FINISHED and uid not in bound)
            or (standing is Standing.UNFIT and uid not in ours_or_free)
        ),
    )


def _is_over(pod: ReadOnlyJson) -> bool:
    """Whether a pod has run to its end and is not being deleted: nothing is to be started for it."""
    return is_finished(pod) and not is_terminating(pod)
