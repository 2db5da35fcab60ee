"""How far a rollout may go above and below the desired count. Pure.

As Deployment's ``ResolveFenceposts``: a percentage of surge rounds up, of unavailable down; both zero makes unavailable
1, because no step could be made otherwise. One rule is our own: a single replica with accelerators whose manifest names
no bounds is replaced in place (surge 0, unavailable 1), for a second set of accelerators is seldom there and the
rollout would wait for ever.
"""

from dataclasses import dataclass

from rayfleet.model.fleet import CountOrPercent, FleetSpec, Percent, StrategyType

_DEFAULT = Percent(value=25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Whole Ray clusters.

    At most ``desired + surge`` may exist, at least ``desired - unavailable`` must be available.
    """

    desired: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        """How many may exist at once."""
        return self.desired + self.surge

    @property
    def least_available(self) -> int:
        """How many must be available."""
        return self.desired - self.unavailable

    def delete_first(self) -> "Bounds":
        """Return the bounds of a rollout that finds no room for a surge: one at a time at least goes before."""
        return Bounds(desired=self.desired, surge=0, unavailable=min(self.desired, max(1, self.unavailable)))


def rollout_bounds(spec: FleetSpec, *, has_accelerators: bool) -> Bounds:
    """Return the bounds; for ``Recreate`` both are 0. Desired 10 with 25% each: surge 3, unavailable 2."""
    desired = spec.replicas
    strategy = spec.strategy
    if strategy.type is StrategyType.RECREATE or desired == 0:
        return Bounds(desired=desired, surge=0, unavailable=0)
    if has_accelerators and desired == 1 and strategy.max_surge is None and strategy.max_unavailable is None:
        return Bounds(desired=desired, surge=0, unavailable=1)
    surge = _resolved(strategy.max_surge, desired, rounds_up=True)
    unavailable = _resolved(strategy.max_unavailable, desired, rounds_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(desired=desired, surge=surge, unavailable=min(unavailable, desired))


def _resolved(bound: CountOrPercent | None, desired: int, *, rounds_up: bool) -> int:
    match _DEFAULT if bound is None else bound:
        case Percent(value=percent):
            return -(-percent * desired // 100) if rounds_up else percent * desired // 100
        case count:
            return count
