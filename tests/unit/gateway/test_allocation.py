"""What lies free goes back to the machine: when, and that the C library does it."""

from rayfleet_gateway.allocation import Trimmer

MIB = 1 << 20


class Arena:
    """A C library's arenas: what is free in them, and what the process holds; pages that are given back stay free."""

    def __init__(self) -> None:
        self.live, self.free, self.held, self.trims = 20 * MIB, 0, 20 * MIB, 0
        self.trimmer = Trimmer(self.trim, lambda: self.free, lambda: self.held)
        assert self.trimmer.step() is False

    def take(self, amount: int) -> None:
        self.live, self.free = self.live + amount, max(0, self.free - amount)
        self.held = max(self.held, self.live)

    def give(self, amount: int) -> None:
        self.live, self.free = self.live - amount, self.free + amount

    def trim(self) -> None:
        self.held, self.trims = self.live, self.trims + 1


def test_what_lives_is_left_alone() -> None:
    arena = Arena()
    arena.take(100 * MIB)
    assert arena.trimmer.step() is False


def test_what_was_taken_and_given_is_given_back_once() -> None:
    arena = Arena()
    for _ in range(3):
        arena.take(100 * MIB)
        arena.trimmer.step()
        arena.give(100 * MIB)
        assert arena.trimmer.step() is True
        assert arena.held == 20 * MIB
        assert arena.trimmer.step() is False
    assert arena.trims == 3


def test_what_came_and_went_between_two_looks_is_given_back_too() -> None:
    arena = Arena()
    for _ in range(3):
        arena.take(100 * MIB)
        arena.give(100 * MIB)
        assert arena.trimmer.step() is True
        assert arena.held == 20 * MIB


def test_a_little_is_not_worth_it() -> None:
    arena = Arena()
    arena.take(4 * MIB)
    arena.give(4 * MIB)
    assert arena.trimmer.step() is False
