"""What `rayfleet up` prints while it works: one line per phase with its seconds.

On a terminal the running one is updated in place.
"""

import sys
import time
from dataclasses import dataclass
from typing import TextIO

import click

_WIDTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedPhase:
    """A phase and how long it took, in seconds."""

    name: str
    seconds: float


class Phases:
    """Prints to stderr, so that stdout holds results only."""

    def __init__(self, stream: TextIO | None = None, *, is_plain: bool = False) -> None:
        self._stream: TextIO = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._is_coloured = self._is_terminal and not is_plain
        self._name = ""
        self._detail = ""
        self._began = time.monotonic()
        self._start = self._began
        self.finished: list[FinishedPhase] = []

    def begin(self, name: str, detail: str = "") -> None:
        """End the running phase, if there is one, and begin another."""
        self.end()
        self._name, self._detail, self._began = name, "", time.monotonic()
        self.update(detail)

    def update(self, detail: str) -> None:
        """Say how far the running phase is; without a terminal a line is printed only when the text is new."""
        if self._is_terminal:
            seconds = time.monotonic() - self._began
            self._detail = detail
            line = f"  … {self._name:<12} {detail}  {seconds:.1f} s"
            self._stream.write(f"\r\x1b[2K{line[:_WIDTH]}")
            self._stream.flush()
        elif detail and detail != self._detail:
            self._detail = detail
            click.echo(f"    {self._name:<12} {detail}", self._stream)

    def end(self, detail: str = "") -> None:
        """End the running phase and print its line."""
        if not self._name:
            return
        seconds = time.monotonic() - self._began
        if self._is_terminal:
            self._stream.write("\r\x1b[2K")
        line = f"  {self._mark('✓', '-', 'green')} {self._name:<12} {seconds:6.1f} s  {detail or self._detail}"
        click.echo(line.rstrip(), self._stream)
        self.finished.append(FinishedPhase(name=self._name, seconds=seconds))
        self._name = ""

    def abandon(self) -> None:
        """Leave the running phase without success; the error that follows says why."""
        if self._name and self._is_terminal:
            self._stream.write("\r\x1b[2K")
        if self._name:
            seconds = time.monotonic() - self._began
            line = f"  {self._mark('✗', '!', 'red')} {self._name:<12} {seconds:6.1f} s  {self._detail}"
            click.echo(line.rstrip(), self._stream)
        self._name = ""

    def _mark(self, on_terminal: str, elsewhere: str, colour: str) -> str:
        if not self._is_terminal:
            return elsewhere
        return click.style(on_terminal, fg=colour) if self._is_coloured else on_terminal

    @property
    def total_seconds(self) -> float:
        """Seconds since the first phase began."""
        return time.monotonic() - self._start
