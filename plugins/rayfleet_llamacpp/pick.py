"""Choose the server of a request. Pure."""

from collections.abc import Container, Mapping, Sequence

from rayfleet_llamacpp.membership import Slot, SlotState


def least_busy(
    slots: Sequence[Slot], busy: Mapping[int, int], turns: Mapping[int, int], without: Container[int] = ()
) -> Slot | None:
    """Return the serving slot with the fewest requests now, among equals the one whose turn is longest ago.

    ``busy`` counts requests and ``turns`` numbers the last one, by slot index; absent means 0, never. Slots in
    ``without`` were tried before. ``None`` when no slot is left.
    """
    candidates = [slot for slot in slots if slot.state is SlotState.SERVING and slot.index not in without]
    return min(
        candidates, key=lambda slot: (busy.get(slot.index, 0), turns.get(slot.index, 0), slot.index), default=None
    )
